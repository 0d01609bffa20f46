"""Send Email, against a real SMTP server."""

import asyncio
import datetime
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiosmtpd.smtp
import pytest
import pytest_asyncio

from duetime_core.model import builtin
from duetime_worker import handlers
from duetime_worker.builtin import send_email
from tests.support import certificates, processes, runs, smtp

DATA = {"email": "ada@example.com", "subject": "It is time ✓", "body": "As you asked.\n"}


@pytest.fixture
def inbox() -> smtp.Inbox:
    return smtp.Inbox()


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DUETIME_SMTP_SENDER", "Duetime <duetime@example.org>")
    send_email._tls_context.cache_clear()
    yield
    send_email._tls_context.cache_clear()


@pytest_asyncio.fixture
async def plain(monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox) -> AsyncIterator[None]:
    async with smtp.serving(inbox) as port:
        monkeypatch.setenv("DUETIME_SMTP_PORT", str(port))
        yield


async def send(run: handlers.Task | None = None, **changes: Any) -> dict[str, Any]:
    return await send_email.send_email(run or runs.of(), builtin.Email.model_validate({**DATA, **changes}))


def content(part: Any) -> str:
    return str(part.get_content()).replace("\r\n", "\n")


@pytest.mark.usefixtures("plain")
async def test_a_mail_arrives_as_requested(inbox: smtp.Inbox) -> None:
    result = await send(email=["ada@example.com", "Grace Hopper <grace@example.com>"])
    (arrived,) = inbox.mails
    assert arrived["From"] == "Duetime <duetime@example.org>"
    assert arrived["To"] == "ada@example.com, Grace Hopper <grace@example.com>"
    assert inbox.envelopes[0].mail_from == "duetime@example.org"
    assert inbox.envelopes[0].rcpt_tos == ["ada@example.com", "grace@example.com"]
    assert arrived["Subject"] == DATA["subject"]
    assert content(arrived) == "As you asked.\n"
    assert result == {"message_id": arrived["Message-ID"]}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("body", "html", "expected"),
    [
        ("Ü\n", None, {"text/plain": "Ü\n"}),
        ("Ü\n", "<p>Ü</p>\n", {"text/plain": "Ü\n", "text/html": "<p>Ü</p>\n"}),
        ("", "<p>Ü</p>\n", {"text/html": "<p>Ü</p>\n"}),
        ("", None, {"text/plain": "\n"}),
        (".\nx" * 2000 + "\n", None, {"text/plain": ".\nx" * 2000 + "\n"}),
    ],
)
async def test_a_body_is_text_or_html_or_both(
    inbox: smtp.Inbox, body: str, html: str | None, expected: dict[str, str]
) -> None:
    await send(body=body, html=html)
    parts = {part.get_content_type(): content(part) for part in inbox.mails[0].walk() if not part.is_multipart()}
    assert parts == expected
    assert inbox.envelopes[0].content.isascii()


@pytest.mark.usefixtures("plain")
async def test_a_retry_has_the_same_message_id_and_its_own_due_time_as_date(inbox: smtp.Inbox) -> None:
    later = runs.MOMENT + datetime.timedelta(hours=1)
    first, second = await send(), await send(runs.of(attempt=2, execution_time=later))
    assert first == second
    assert [arrived["Date"].datetime for arrived in inbox.mails] == [runs.MOMENT, later]


@pytest.mark.usefixtures("plain")
async def test_a_mail_due_before_it_was_created_is_dated_by_its_creation(inbox: smtp.Inbox) -> None:
    await send(runs.of(execution_time=runs.MOMENT - datetime.timedelta(days=9999)))
    assert inbox.mails[0]["Date"].datetime == runs.MOMENT


@pytest.mark.usefixtures("plain")
async def test_non_ascii_addresses_use_smtputf8_where_necessary(inbox: smtp.Inbox) -> None:
    await send(email="ada@bücher.example")
    await send(email="bärbel@bücher.example")
    assert [envelope.rcpt_tos[0] for envelope in inbox.envelopes] == [
        "ada@xn--bcher-kva.example",
        "bärbel@xn--bcher-kva.example",
    ]
    assert ["SMTPUTF8" in envelope.mail_options for envelope in inbox.envelopes] == [False, True]
    assert inbox.mails[1]["To"] == "bärbel@xn--bcher-kva.example"
    assert inbox.mails[1]["Subject"] == DATA["subject"]


async def test_an_address_that_the_server_does_not_support_fails(
    monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox
) -> None:
    async with smtp.serving(inbox, enable_SMTPUTF8=False) as port:
        monkeypatch.setenv("DUETIME_SMTP_PORT", str(port))
        with pytest.raises(handlers.Fail, match="does not support non-ASCII addresses"):
            await send(email="bärbel@example.com")


@pytest.mark.usefixtures("plain")
async def test_rejected_recipients_are_in_the_result(inbox: smtp.Inbox) -> None:
    inbox.answers["gone@example.com"] = "550 no such user"
    result = await send(email=["ada@example.com", "gone@example.com"])
    assert result["refused"] == {"gone@example.com": "550 no such user"}
    assert inbox.envelopes[0].rcpt_tos == ["ada@example.com"]


@pytest.mark.usefixtures("plain")
async def test_a_deferred_recipient_does_not_send_the_mail_twice_to_others(inbox: smtp.Inbox) -> None:
    inbox.answers["full@example.com"] = "452 mailbox full"
    both = ["ada@example.com", "full@example.com"]
    with pytest.raises(handlers.Retry, match=r"the mail server deferred full@example\.com: 452 mailbox full"):
        await send(email=both)
    assert inbox.mails == []
    result = await send(runs.of(attempt=4, max_retries=3), email=both)  # the last attempt
    assert result["refused"] == {"full@example.com": "452 mailbox full"}
    assert len(inbox.mails) == 1


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("answer", "expected"), [("550 no such user", handlers.Fail), ("450 try again", handlers.Retry)]
)
async def test_rejected_recipients_fail_and_deferred_ones_retry(
    inbox: smtp.Inbox, answer: str, expected: type[Exception]
) -> None:
    inbox.answers["ada@example.com"] = answer
    for attempt in (1, 4):
        with pytest.raises(expected, match=f"ada@example.com: {answer}"):
            await send(runs.of(attempt=attempt))


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("sender", "data", "expected"),
    [
        (None, "554 spam", handlers.Fail),
        (None, "451 later", handlers.Retry),
        ("552 too big", None, handlers.Fail),
        ("550 not you", None, handlers.Retry),  # the sender is the worker's setting
        ("451 later", None, handlers.Retry),
    ],
)
async def test_a_rejected_mail_fails_and_a_rejected_sender_retries(
    inbox: smtp.Inbox, sender: str | None, data: str | None, expected: type[Exception]
) -> None:
    inbox.answer_to_sender, inbox.answer_to_data = sender, data
    with pytest.raises(expected, match=sender or data):
        await send()


async def test_an_unreachable_server_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETIME_SMTP_PORT", str(processes.free_port()))
    with pytest.raises(handlers.Retry, match=r"the mail server 127\.0\.0\.1: Error connecting to 127\.0\.0\.1"):
        await send()


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(("tls", "username"), [("starttls", ""), ("none", "duetime")])
async def test_a_server_without_tls_or_login_gets_no_mail_and_is_retried(
    monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox, tls: str, username: str
) -> None:
    monkeypatch.setenv("DUETIME_SMTP_TLS", tls)
    monkeypatch.setenv("DUETIME_SMTP_USERNAME", username)
    with pytest.raises(handlers.Retry, match="not supported"):
        await send()
    assert inbox.mails == []


# aiosmtpd does not see that "tls" is TLS from the first byte.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_mails_use_tls_and_credentials_and_wrong_ones_are_retried_without_showing_them(
    monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox, tmp_path: pathlib.Path, tls: str
) -> None:
    certificate = certificates.trusted(monkeypatch, tmp_path)

    def authenticate(*arguments: Any) -> Any:
        data = arguments[-1]
        is_right = (data.login, data.password) == (b"duetime", b"secret")
        return aiosmtpd.smtp.AuthResult(success=is_right, handled=False)

    options: dict[str, Any] = (
        {"tls_context": certificate, "require_starttls": True}
        if tls == "starttls"
        else {"tls": certificate, "auth_require_tls": False}
    )
    async with smtp.serving(inbox, auth_required=True, authenticator=authenticate, **options) as port:
        settings = {"PORT": port, "TLS": tls, "USERNAME": "duetime", "PASSWORD": "secret"}
        for name, value in settings.items():
            monkeypatch.setenv(f"DUETIME_SMTP_{name}", str(value))
        await send()
        assert len(inbox.mails) == 1
        monkeypatch.setenv("DUETIME_SMTP_PASSWORD", "wrong")
        with pytest.raises(handlers.Retry, match="answered 535 ") as refused:
            await send()
        assert "wrong" not in str(refused.value)


async def test_a_server_with_an_untrusted_certificate_is_retried(
    monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox, tmp_path: pathlib.Path
) -> None:
    certificate = certificates.trusted(monkeypatch, tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("DUETIME_SMTP_TLS", "starttls")
    async with smtp.serving(inbox, tls_context=certificate) as port:
        monkeypatch.setenv("DUETIME_SMTP_PORT", str(port))
        with pytest.raises(handlers.Retry, match="CERTIFICATE_VERIFY_FAILED"):
            await send()


async def test_a_silent_server_does_not_delay_a_cancelled_run(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await reader.readline()
        silent.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        monkeypatch.setenv("DUETIME_SMTP_PORT", str(server.sockets[0].getsockname()[1]))
        sending = asyncio.create_task(send())
        await silent.wait()
        sending.cancel()
        assert await asyncio.wait({sending}, timeout=10) == ({sending}, set())
        assert sending.cancelled()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"email": []}, "at least 1 item"),
        ({"email": ["a@example.com"] * 101}, "at most 100 items"),
        ({"email": 7}, "must be an address, or a list of addresses"),
        ({"email": [7]}, "must be an email address"),
        ({"email": "nobody"}, "'nobody' has no @"),
        ({"email": "a@example.com\r\nBcc: b@example.com"}, "must not contain line breaks"),
        ({"subject": "a\r\nBcc: b@example.com"}, "must not contain line breaks"),
        ({"subject": "a\u2028b"}, "must not contain line breaks"),
        ({"subject": "a" * 999}, "at most 998 characters"),
        ({"colour": "red"}, "colour: is not known"),
    ],
)
def test_invalid_task_data_is_refused(wrong: dict[str, Any], problem: str) -> None:
    registered = handlers.registered(send_email.send_email)
    assert registered is not None
    with pytest.raises(handlers.Fail, match=f"task_data does not fit Email: .*{problem}"):
        registered.arguments(runs.of(task_data={**DATA, **wrong}))
