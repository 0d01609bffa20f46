"""The content of Send Email's mails, as a real SMTP server receives it."""

import asyncio
import base64
import email
import email.header
import email.message
import email.policy
import email.utils
import pathlib
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from duetime_core.model import builtin, validation
from duetime_worker import handlers
from duetime_worker.builtin import send_email
from tests.support import receiver, runs, smtp

NAMES = [
    "Renée Ünal", "Groß, Jürgen", '"Ada" Lovelace', "Lovelace, Ada", "Ada (Countess)", "back\\slash", "日本 太郎",
    "👩‍🚀 Åsa", "a; b: c", "Ö" * 300, "x" * 300, "", "=?utf-8?q?=2C?=", "O'Neil, Zoë; \"The\" (one)", "Ñ,", ", ñ",
]  # fmt: skip


@pytest.fixture
def inbox() -> smtp.Inbox:
    return smtp.Inbox()


@pytest_asyncio.fixture(autouse=True)
async def _server(monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox) -> AsyncIterator[None]:
    async with smtp.serving(inbox) as port:
        monkeypatch.setenv("DUETIME_SMTP_PORT", str(port))
        monkeypatch.setenv("DUETIME_SMTP_SENDER", "Düetime, Inc. <duetime@example.org>")
        yield


async def send(run: handlers.Task | None = None, **task_data: Any) -> dict[str, Any]:
    asked = validation.validate(builtin.Email, {"email": "ada@example.com", "body": "As you asked.\n", **task_data})
    return await send_email.send_email(run or runs.of(), asked)


def quoted(name: str, address: str) -> str:
    written = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{written}" <{address}>'


def arrived(inbox: smtp.Inbox) -> email.message.Message:
    """The last mail, parsed by Python's legacy parser, which shares no code with the writer."""
    content: bytes = inbox.envelopes[-1].content
    head, _, _ = content.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        assert re.match(rb"[A-Za-z-]+: |[ \t]+\S", line), line
        assert len(line) <= 998
    return email.message_from_bytes(content)


def addresses(message: email.message.Message, field: str) -> list[tuple[str, str]]:
    found = email.utils.getaddresses(message.get_all(field, []))
    return [(str(email.header.make_header(email.header.decode_header(name))), spec) for name, spec in found]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 33, 100])
async def test_recipients_with_unusual_names_round_trip(inbox: smtp.Inbox, count: int) -> None:
    choose = random.Random(count)
    wanted = [(choose.choice(NAMES), f"user{number}@mail.corp.local") for number in range(count)]
    await send(email=[quoted(*each) for each in wanted])
    assert addresses(arrived(inbox), "To") == wanted
    assert addresses(arrived(inbox), "From") == [("Düetime, Inc.", "duetime@example.org")]
    assert inbox.envelopes[0].rcpt_tos == [address for _, address in wanted]


async def test_cc_and_reply_to_are_in_the_headers_and_bcc_is_not(inbox: smtp.Inbox) -> None:
    await send(cc=["Zoë, B <bob@localhost>"], bcc="eve@admin", reply_to=["Hilfe ☎ <help@example.com>"])
    (envelope,) = inbox.envelopes
    assert envelope.rcpt_tos == ["ada@example.com", "bob@localhost", "eve@admin"]
    assert b"eve" not in envelope.content
    message = arrived(inbox)
    assert addresses(message, "Cc") == [("Zoë, B", "bob@localhost")]
    assert addresses(message, "Reply-To") == [("Hilfe ☎", "help@example.com")]


@pytest.mark.parametrize(
    "address", ["root@localhost", "admin@mailserver1", "x@[127.0.0.1]", "x@example.test", '"a b"@example.com']
)
async def test_the_operators_server_decides_which_addresses_there_are(inbox: smtp.Inbox, address: str) -> None:
    await send(email=address)
    assert inbox.envelopes[0].rcpt_tos == [address]
    assert inbox.mails[0]["To"] == address


@pytest.mark.parametrize("subject", ["", "Ü" * 998, "x" * 998, "word " * 199 + "x", "=?utf-8?q?a?=", "a  b", "✓, (é)"])
async def test_a_subject_round_trips(inbox: smtp.Inbox, subject: str) -> None:
    await send(subject=subject)
    unfolded = re.sub(r"\r?\n", "", arrived(inbox)["Subject"])
    assert str(email.header.make_header(email.header.decode_header(unfolded))) == subject


async def test_headers_round_trip(inbox: smtp.Inbox) -> None:
    headers = {
        "List-Unsubscribe": f"<https://example.com/{'u' * 100}>, <mailto:u@example.com>",
        "References": " ".join(f"<{number}@example.com>" for number in range(40)),
        "Auto-Submitted": "auto-generated",
        "X-Kampagne": "Frühjahr, =?x?=",
    }
    await send(headers=headers)
    message = arrived(inbox)
    for name, value in headers.items():
        unfolded = re.sub(r"\r?\n", "", message[name])
        assert str(email.header.make_header(email.header.decode_header(unfolded))) == value


@pytest.mark.parametrize(
    "filename",
    ["a.pdf", 'a "b"; c.pdf', "Übersicht № 7.pdf", "é" * 127, "x" * 255, "a'b%20.pdf", "=?utf-8?q?=0d=0aa?=.pdf"],
)
async def test_attachments_arrive_with_their_names_and_bytes(inbox: smtp.Inbox, filename: str) -> None:
    content = bytes(range(256)) * 20
    given = {"filename": filename, "content_type": "application/pdf", "content": base64.b64encode(content).decode()}
    await send(attachments=[given, {**given, "content_type": "text/csv"}], html="<p>✓</p>")
    message = arrived(inbox)
    first, second = (part for part in message.walk() if part.get_content_disposition() == "attachment")
    assert (first.get_content_type(), second.get_content_type()) == ("application/pdf", "text/csv")
    for part in (first, second):
        assert part.get_payload(decode=True) == content
        found = part.get_filename()
        assert found is not None
        assert email.utils.collapse_rfc2231_value(found) == filename
    # This parser, like many others, also decodes encoded words within quotes.
    lenient = email.message_from_bytes(inbox.envelopes[0].content, policy=email.policy.default)
    assert {part.get_filename() for part in lenient.walk() if part.is_attachment()} == {filename}
    assert inbox.envelopes[0].content.isascii()
    assert max(map(len, inbox.envelopes[0].content.split(b"\r\n"))) <= 998


async def test_attachments_are_fetched_when_the_mail_is_sent(
    monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox
) -> None:
    async with receiver.reachable(monkeypatch), receiver.receiving() as listening:
        listening.body = b"%PDF"
        await send(attachments=[{"filename": "a.pdf", "url": f"{listening.url}/secret"}])
        (part,) = (part for part in arrived(inbox).walk() if part.get_filename() == "a.pdf")
        assert part.get_payload(decode=True) == b"%PDF"

        listening.status = 503
        with pytest.raises(handlers.Retry, match=r"^attachments\[0\]: http://127\.0\.0\.1:\d+ answered 503"):
            await send(attachments=[{"filename": "a.pdf", "url": f"{listening.url}/secret"}])
        listening.status = 404
        with pytest.raises(handlers.Fail, match=r"^attachments\[0\]: http://127\.0\.0\.1:\d+ answered 404") as refused:
            await send(attachments=[{"filename": "a.pdf", "url": f"{listening.url}/secret"}])
        assert "secret" not in str(refused.value)
        assert len(inbox.envelopes) == 1


async def test_an_attachment_that_the_egress_policy_refuses_fails_naming_the_setting(inbox: smtp.Inbox) -> None:
    for host in ("127.0.0.1", "localhost", "169.254.169.254", "[::ffff:127.0.0.1]"):
        with pytest.raises(handlers.Fail, match=r"^attachments\[0\]: .*DUETIME_EGRESS_"):
            await send(attachments=[{"filename": "a.pdf", "url": f"http://{host}/a.pdf"}])
    assert inbox.envelopes == []


async def test_files_that_are_too_large_together_fail(monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox) -> None:
    async with receiver.reachable(monkeypatch), receiver.receiving() as listening:
        listening.body = bytes(8 * 1024 * 1024)
        file = {"filename": "a.bin", "url": listening.url}
        await send(attachments=[file])
        with pytest.raises(handlers.Fail, match=r"^attachments\[1\]: the file at .* is larger than"):
            await send(attachments=[file, file])
    assert len(inbox.envelopes) == 1


async def test_few_mails_with_fetched_files_are_in_memory_at_once(
    monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox
) -> None:
    asked, may_answer = 0, asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        await may_answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
        writer.close()

    async with receiver.reachable(monkeypatch), await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        sending = [asyncio.create_task(send(attachments=[{"filename": "a", "url": url}])) for _ in range(9)]
        async with asyncio.timeout(20):
            while asked < 5:  # noqa: ASYNC110 - the server signals nothing
                await asyncio.sleep(0.01)
        await send()  # a mail without fetched files does not wait
        assert (asked, len(inbox.envelopes)) == (5, 1)
        may_answer.set()
        await asyncio.gather(*sending)
    assert (asked, len(inbox.envelopes)) == (9, 10)


async def test_a_deferred_recipient_does_not_delay_the_others_for_days(inbox: smtp.Inbox) -> None:
    inbox.answers["full@example.com"] = "452 mailbox full"
    both = ["ada@example.com", "full@example.com"]
    for attempt in range(1, send_email.DEFERRAL_ATTEMPTS):
        with pytest.raises(handlers.Retry):
            await send(runs.of(attempt=attempt, max_retries=30), email=both)
    result = await send(runs.of(attempt=send_email.DEFERRAL_ATTEMPTS, max_retries=30), email=both)
    assert result["refused"] == {"full@example.com": "452 mailbox full"}
    assert [envelope.rcpt_tos for envelope in inbox.envelopes] == [["ada@example.com"]]


async def test_a_server_may_listen_on_a_unix_socket(
    monkeypatch: pytest.MonkeyPatch, inbox: smtp.Inbox, short_directory: pathlib.Path
) -> None:
    path = short_directory / "smtp.sock"
    monkeypatch.delenv("DUETIME_SMTP_PORT")
    monkeypatch.setenv("DUETIME_SMTP_HOST", f"unix:{path}")
    with pytest.raises(handlers.Retry, match=f"the mail server unix:{path}: "):
        await send()
    async with smtp.serving_at(path, inbox):
        await send()
    assert len(inbox.envelopes) == 1
