"""A real SMTP server on this loop that records mail and sends scripted responses."""

import asyncio
import contextlib
import email.message
import email.policy
import pathlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiosmtpd.smtp


class Inbox:
    """The received mail, and the responses to recipients, senders and data."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.answers: dict[str, str] = {}
        self.answer_to_sender: str | None = None
        self.answer_to_data: str | None = None

    @property
    def mails(self) -> list[email.message.EmailMessage]:
        return [email.message_from_bytes(envelope.content, policy=email.policy.SMTPUTF8) for envelope in self.envelopes]

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd's name
        envelope.mail_from, envelope.mail_options = address, options
        return self.answer_to_sender or "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer_to_data:
            return self.answer_to_data
        self.envelopes.append(envelope)
        return "250 OK"


@contextlib.asynccontextmanager
async def serving(inbox: Inbox, *, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """Yields the port of a server with these options of aiosmtpd; with `tls`, implicit TLS."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: aiosmtpd.smtp.SMTP(inbox, loop=loop, **{"enable_SMTPUTF8": True, **options}), "127.0.0.1", 0, ssl=tls
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def serving_at(path: pathlib.Path, inbox: Inbox) -> AsyncIterator[None]:
    """Runs a server on that unix socket."""
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: aiosmtpd.smtp.SMTP(inbox, loop=loop), path)
    async with server:
        yield
