"""Send Email, against a real SMTP server."""

import email.message
import pathlib
import ssl
from collections.abc import Iterator
from typing import Any

import aiosmtpd.controller
import aiosmtpd.handlers
import aiosmtpd.smtp
import pytest
import trustme

from duetime_worker import handlers
from duetime_worker.builtin import send_email
from tests import processes, runs

DATA = {"email": "ada@example.com", "subject": "It is time ✓", "body": "As you asked.\n"}


class Inbox(aiosmtpd.handlers.Message):
    """Keeps what arrives, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []
        self.answers: dict[str, str] = {}
        self.answer_to_data: str | None = None

    def handle_message(self, message: email.message.Message) -> None:
        self.mails.append(message)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        return self.answer_to_data or str(await super().handle_DATA(server, session, envelope))


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def _serve(monkeypatch: pytest.MonkeyPatch, inbox: Inbox, **options: Any) -> Iterator[None]:
    monkeypatch.setenv("DUETIME_SMTP_PORT", str(port := processes.free_port()))
    monkeypatch.setenv("DUETIME_SMTP_SENDER", "duetime@example.org")
    controller = aiosmtpd.controller.Controller(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    yield
    controller.stop()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, inbox: Inbox) -> Iterator[None]:
    yield from _serve(monkeypatch, inbox)


@pytest.fixture
def certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> ssl.SSLContext:
    """A certificate for this machine, of an authority that is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def send(**changes: Any) -> dict[str, Any]:
    data = send_email.Email.model_validate({**DATA, **changes})
    return await send_email.send_email(runs.of(name="Send Email"), data)


@pytest.mark.usefixtures("plain")
async def test_a_mail_arrives_as_it_was_asked_for(inbox: Inbox) -> None:
    result = await send(email=["ada@example.com", "grace@example.com"], html="<p>As you asked.</p>")
    (mail,) = inbox.mails
    assert (mail["From"], mail["To"]) == ("duetime@example.org", "ada@example.com, grace@example.com")
    assert mail["X-RcptTo"] == "ada@example.com, grace@example.com"
    assert str(email.header.make_header(email.header.decode_header(mail["Subject"]))) == DATA["subject"]
    assert result == {"message_id": mail["Message-ID"]}
    parts = {part.get_content_type(): part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()}
    assert parts == {"text/plain": b"As you asked.\r\n", "text/html": b"<p>As you asked.</p>\r\n"}


@pytest.mark.usefixtures("plain")
async def test_a_retry_sends_the_same_message_id(inbox: Inbox) -> None:
    first, second = await send(), await send()
    assert first == second
    assert len(inbox.mails) == 2


@pytest.mark.usefixtures("plain")
async def test_a_recipient_that_is_refused_among_others_is_told(inbox: Inbox) -> None:
    inbox.answers["gone@example.com"] = "550 no such user"
    result = await send(email=["ada@example.com", "gone@example.com"])
    assert result["refused"] == {"gone@example.com": "550 no such user"}
    assert len(inbox.mails) == 1


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("answer", "expected"), [("550 no such user", handlers.Fail), ("450 try again", handlers.Retry)]
)
async def test_recipients_that_are_all_refused_fail_or_retry_as_the_server_says(
    inbox: Inbox, answer: str, expected: type[Exception]
) -> None:
    inbox.answers["ada@example.com"] = answer
    with pytest.raises(expected, match=f"every recipient was refused: .*{answer}"):
        await send()


@pytest.mark.usefixtures("plain")
async def test_a_mail_that_is_refused_for_good_fails(inbox: Inbox) -> None:
    inbox.answer_to_data = "554 spam"
    with pytest.raises(handlers.Fail, match=r"the mail server refused the mail: 554 spam"):
        await send()


@pytest.mark.usefixtures("plain")
async def test_a_mail_that_is_refused_for_now_is_retried(inbox: Inbox) -> None:
    inbox.answer_to_data = "451 later"
    with pytest.raises(Exception, match=r"451.*later") as refused:
        await send()
    assert not isinstance(refused.value, handlers.Fail)


async def test_a_server_that_is_not_there_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETIME_SMTP_PORT", str(processes.free_port()))
    with pytest.raises(Exception, match=r"Error connecting to 127\.0\.0\.1") as refused:
        await send()
    assert not isinstance(refused.value, handlers.Fail)


# aiosmtpd does not see that "tls" is TLS from the first byte.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_mails_go_over_tls_with_credentials(
    monkeypatch: pytest.MonkeyPatch, inbox: Inbox, certificate: ssl.SSLContext, tls: str
) -> None:
    monkeypatch.setenv("DUETIME_SMTP_TLS", tls)
    monkeypatch.setenv("DUETIME_SMTP_USERNAME", "duetime")
    monkeypatch.setenv("DUETIME_SMTP_PASSWORD", "secret")

    def authenticate(*arguments: Any) -> Any:
        data = arguments[-1]
        is_right = (data.login, data.password) == (b"duetime", b"secret")
        return aiosmtpd.smtp.AuthResult(success=is_right, handled=False)

    options: dict[str, Any] = {"auth_required": True, "authenticator": authenticate}
    if tls == "starttls":
        options |= {"tls_context": certificate, "require_starttls": True}
    else:
        options |= {"ssl_context": certificate, "auth_require_tls": False}
    serving = _serve(monkeypatch, inbox, **options)
    next(serving)
    await send()
    assert len(inbox.mails) == 1
    monkeypatch.setenv("DUETIME_SMTP_PASSWORD", "wrong")
    with pytest.raises(Exception, match="535") as refused:
        await send()
    assert not isinstance(refused.value, handlers.Fail)
    assert "wrong" not in str(refused.value)
    next(serving, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": []},
        {"email": "nobody"},
        {"email": "a@example.com\r\nBcc: b@example.com"},
        {"subject": "a\r\nBcc: b@example.com"},
        {"colour": "red"},
    ],
)
def test_what_is_no_mail_does_not_fit(wrong: dict[str, Any]) -> None:
    registered = handlers.registered(send_email.send_email)
    assert registered is not None
    with pytest.raises(handlers.Fail, match="task_data does not fit Email: "):
        registered.arguments(runs.of(task_data={**DATA, **wrong}))
