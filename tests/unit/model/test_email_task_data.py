"""Validation of Send Email's task_data."""

import base64
from typing import Any

import pytest

from duetime_core.model import builtin, validation
from duetime_core.model.builtin import attachment, mail_headers

FILE = {"filename": "a.pdf", "content": base64.b64encode(b"%PDF").decode()}


def read(**task_data: Any) -> builtin.Email:
    return validation.validate(builtin.Email, {"email": "ada@example.com", **task_data})


def attached(**changes: Any) -> dict[str, Any]:
    return {"attachments": [{**FILE, **changes}]}


@pytest.mark.parametrize(
    ("wrong", "path", "problem"),
    [
        ({"email": "a@x, b@y"}, "email", 'must be one address, or a list: ["a@example.com", "b@example.com"]'),
        ({"email": ["a@x", "b"]}, "email[1]", "has no @"),
        ({"email": []}, "email", "at least 1"),
        ({"email": ["a@x"] * 101}, "email", "at most 100"),
        ({"email": None}, "email", "must be an address, or a list"),
        ({"cc": "b@"}, "cc", "domain"),
        ({"bcc": ["b@y\r\nX: y"]}, "bcc[0]", "line breaks"),
        ({"reply_to": "Support <help>"}, "reply_to", "has no @"),
        ({"cc": ["a@x"] * 60, "bcc": ["b@x"] * 60}, "", "at most 100 addresses together; there are 121"),
        ({"headers": {"From": "eve@example.com"}}, "headers.From", "is not a header that a task may set"),
        ({"headers": {"bcc": "eve@example.com"}}, "headers.bcc", "has a field of its own: bcc"),
        ({"headers": {"Reply-To": "eve@example.com"}}, "headers.Reply-To", "has a field of its own: reply_to"),
        ({"headers": {"X-A": "b\r\nBcc: eve@example.com"}}, "headers", "must be one line"),
        ({"headers": {"X-A": "b\u2028c"}}, "headers", "must be one line"),
        ({"headers": {"X-A": " "}}, "headers", "not empty"),
        ({"headers": {"X-A\r\nBcc": "eve@example.com"}}, "headers.X-A\r\nBcc", "is not a header"),
        ({"headers": {"X-A:": "b"}}, "headers.X-A:", "is not a header"),
        ({"headers": {"X-A": "b", "x-a": "c"}}, "headers", "'x-a' twice"),
        ({"headers": {"References": "<é@x>"}}, "headers", "must be ASCII"),
        ({"headers": {"X-A": "b" * 901}}, "headers.X-A", "at most 900"),
        ({"headers": {"X-A": 7}}, "headers.X-A", "must be text"),
        ({"headers": {f"X-{number}": "a" for number in range(51)}}, "headers", "at most 50"),
        ({"headers": []}, "headers", "must be an object"),
        ({"attachments": [FILE] * 21}, "attachments", "at most 20"),
        ({"attachments": [{"filename": "a.pdf"}]}, "attachments[0]", "either content, in base64, or url"),
        (attached(url="https://example.com/a.pdf"), "attachments[0]", "either content, in base64, or url"),
        (attached(content="%PDF"), "attachments[0].content", "must be base64"),
        (attached(content=7), "attachments[0].content", "must be base64"),
        (attached(filename="a\r\nX: y.pdf"), "attachments[0].filename", "on one line and without a path"),
        (attached(filename="../a.pdf"), "attachments[0].filename", "without a path"),
        (attached(filename="a\\b.pdf"), "attachments[0].filename", "without a path"),
        (attached(filename=" "), "attachments[0].filename", "must be a file's name"),
        (attached(filename="\u202egpj.exe"), "attachments[0].filename", "direction"),
        (attached(filename="a\u2066.exe"), "attachments[0].filename", "direction"),
        (attached(filename="é" * 128), "attachments[0].filename", "at most 255 bytes"),
        (attached(content_type="text"), "attachments[0].content_type", "a media type such as application/pdf"),
        (attached(content_type='text/x; a="b"'), "attachments[0].content_type", "a media type"),
        (attached(content_type="text/x\r\nX: y"), "attachments[0].content_type", "a media type"),
        (attached(content_type="Multipart/mixed"), "attachments[0].content_type", "must not be multipart"),
        (attached(content_type="message/rfc822"), "attachments[0].content_type", "must not be multipart"),
        ({"attachments": [{"filename": "a", "url": "file:///etc/passwd"}]}, "attachments[0].url", "must be a URL"),
        ({"attachments": [{"filename": "a", "url": "https://"}]}, "attachments[0].url", "must be a URL"),
        ({"attachments": [{"filename": "a", "url": "https://[x"}]}, "attachments[0].url", "must be a URL"),
        (attached(name="a"), "attachments[0].name", "is not known"),
    ],
)
def test_an_invalid_mail_is_refused_with_its_field(wrong: dict[str, Any], path: str, problem: str) -> None:
    with pytest.raises(validation.Invalid) as refused:
        read(**wrong)
    ((found, description),) = refused.value.problems
    assert (found, problem in description) == (path, True), refused.value.problems


@pytest.mark.parametrize(
    "name",
    [
        "From", "Sender", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "Received", "Return-Path", "Resent-To",
        "Content-Type", "Content-Transfer-Encoding", "MIME-Version", "DKIM-Signature", "ARC-Seal", "Delivered-To",
        "Authentication-Results", "Disposition-Notification-To", "Apparently-To", "x", "X-", "",
    ],
)  # fmt: skip
def test_a_task_sets_no_header_that_transport_or_structure_depend_on(name: str) -> None:
    for written in (name, name.lower(), name.upper()):
        with pytest.raises(validation.Invalid):
            read(headers={written: "a"})


def test_headers_that_mail_tools_set_are_allowed() -> None:
    headers = {
        "List-Unsubscribe": "<https://example.com/u?a=b>, <mailto:u@example.com>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "In-Reply-To": "<a@example.com>",
        "References": "<a@example.com> <b@example.com>",
        "Auto-Submitted": "auto-generated",
        "Importance": "high",
        "Priority": "urgent",
        "X-Priority": "1",
        "X-Kampagne": "Frühjahr",
    }
    assert read(headers=headers).headers == headers
    assert not mail_headers.takes_any_text("References")


def test_everybody_gets_a_mail_once() -> None:
    mail = read(email=["ada@example.com", "Ada <ada@example.com>"], cc="bob@example.com", bcc="bob@example.com")
    assert [address.spec for address in mail.recipients] == ["ada@example.com", "bob@example.com"]


@pytest.mark.parametrize(
    ("changes", "media_type"),
    [
        ({}, "application/pdf"),
        ({"filename": "a.csv"}, "text/csv"),
        ({"filename": "a"}, "application/octet-stream"),
        ({"content_type": "Image/PNG"}, "image/png"),
    ],
)
def test_a_file_is_of_the_type_that_is_given_or_that_its_name_says(changes: dict[str, Any], media_type: str) -> None:
    (found,) = read(**attached(**changes)).attachments
    assert isinstance(found, attachment.Attachment)
    assert (found.media_type, found.content) == (media_type, b"%PDF")
