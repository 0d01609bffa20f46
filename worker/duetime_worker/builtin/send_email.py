"""Send Email: sends a mail through the configured SMTP server."""

import asyncio
import contextlib
import email.message
import functools
import ssl
from collections.abc import Sequence
from typing import Any

import aiosmtplib
import structlog

from duetime_core.model import builtin
from duetime_core.model.builtin import addresses
from duetime_worker import handlers, settings
from duetime_worker.builtin import mail as mails
from duetime_worker.builtin import parts

CONNECT_SECONDS = 10
_COMMAND_SECONDS = 600
"""What RFC 5321 (4.5.3.2) allows a slow server, within the task's timeout."""
_QUIT_SECONDS = 2
_TOO_BIG = 552
_ACCEPTED = frozenset({250, 251})
DEFERRAL_ATTEMPTS = 5
"""From this attempt on, by default 75 minutes after the first, deferred recipients no longer delay the others."""

_log = structlog.get_logger()


@handlers.built_in(builtin.SEND_EMAIL)
async def send_email(run: handlers.Task, mail: builtin.Email) -> dict[str, Any]:
    """Sends the mail. The task fails if the server permanently rejects the mail or all its recipients.

    Other errors are retried: the server, the connection and the worker's settings (credentials, sender) may be fixed
    before the retry.
    """
    sender = addresses.parse_sender(settings.Smtp().sender)
    async with parts.memory_slot(mail.attachments):
        attached = await parts.fetch(mail.attachments)
        message = await asyncio.to_thread(mails.make_message, run, mail, sender, attached=attached)
        return await deliver(run, mail, message)


async def deliver(run: handlers.Task, mail: builtin.Email, message: email.message.EmailMessage) -> dict[str, Any]:
    """Sends the message of a mail; raises Retry or Fail as `send_email` does."""
    smtp = settings.Smtp()
    client = aiosmtplib.SMTP(
        hostname=None if smtp.socket_path else smtp.host,
        port=None if smtp.socket_path else smtp.port,
        socket_path=smtp.socket_path,
        use_tls=smtp.tls == "tls",
        start_tls=smtp.tls == "starttls",
        tls_context=None if smtp.tls == "none" else _tls_context(),
        username=smtp.username,
        password=smtp.password.get_secret_value() if smtp.password else None,
        timeout=_COMMAND_SECONDS,
    )
    try:
        await client.connect(timeout=CONNECT_SECONDS)
        result = await _submit(client, run, mail, smtp, message)
        with contextlib.suppress(aiosmtplib.SMTPException):  # the server has already accepted the mail
            await client.quit(timeout=_QUIT_SECONDS)
    except aiosmtplib.SMTPResponseException as error:
        raise handlers.Retry(f"the mail server {smtp.host} answered {error.code} {error.message}") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise handlers.Retry(f"the mail server {smtp.host}: {error}") from error
    finally:
        client.close()  # a silent server must not delay a cancelled run
    return result


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Loads the certificates of this machine, or of SSL_CERT_FILE, once, because that is slow."""
    return ssl.create_default_context()


async def _submit(
    client: aiosmtplib.SMTP,
    run: handlers.Task,
    mail: builtin.Email,
    smtp: settings.Smtp,
    message: email.message.EmailMessage,
) -> dict[str, Any]:
    sender = addresses.parse_sender(smtp.sender)
    needs_smtputf8 = mails.needs_smtputf8(mail)
    if client.is_ehlo_or_helo_needed:
        await client.ehlo()
    if needs_smtputf8 and not client.supports_extension("SMTPUTF8"):
        raise handlers.Fail(f"the mail server {smtp.host} does not support non-ASCII addresses (SMTPUTF8)")
    try:
        await client.mail(sender.spec, options=["SMTPUTF8"] if needs_smtputf8 else [], encoding="utf-8")
        may_wait = run.attempt < DEFERRAL_ATTEMPTS and run.attempt <= run.max_retries
        refused = await _send_recipients(client, mail.recipients, may_wait=may_wait)
        await client.data(await asyncio.to_thread(message.as_bytes))
    except (aiosmtplib.SMTPDataError, aiosmtplib.SMTPSenderRefused) as error:
        # A rejected sender is an error in the settings, except with this code.
        if _is_permanent(error) and (isinstance(error, aiosmtplib.SMTPDataError) or error.code == _TOO_BIG):
            raise handlers.Fail(f"the mail server rejected the mail: {error.code} {error.message}") from error
        raise
    result: dict[str, Any] = {"message_id": message["Message-ID"]}
    if refused:
        _log.warning("recipients rejected by the mail server", task_id=run.task_id, count=len(refused))
        result["refused"] = {each.recipient: f"{each.code} {each.message}" for each in refused}
    return result


async def _send_recipients(
    client: aiosmtplib.SMTP, recipients: Sequence[addresses.Address], *, may_wait: bool
) -> list[aiosmtplib.SMTPRecipientRefused]:
    """Sends the recipients and returns the rejected ones; raises Retry or Fail if nobody gets the mail now.

    While one is only deferred, as greylisting servers do for at most an hour, nobody gets the mail: a retry would send
    it to the others again. But they must not wait for days.
    """
    refused = []
    for address in recipients:
        # Not client.rcpt, which passes the address through Python's header parser again.
        answer = await client.execute_command(b"RCPT", f"TO:<{address.spec}>".encode())
        if answer.code not in _ACCEPTED:
            refused.append(aiosmtplib.SMTPRecipientRefused(answer.code, answer.message, address.spec))
    deferred = [error for error in refused if not _is_permanent(error)]
    if deferred and (len(refused) == len(recipients) or may_wait):
        raise handlers.Retry(f"the mail server deferred {_list(deferred)}")
    if len(refused) == len(recipients):
        raise handlers.Fail(f"the mail server rejected all recipients: {_list(refused)}")
    return refused


def _list(refused: list[aiosmtplib.SMTPRecipientRefused]) -> str:
    return "; ".join(f"{each.recipient}: {each.code} {each.message}" for each in refused)


def _is_permanent(error: aiosmtplib.SMTPResponseException) -> bool:
    return 500 <= error.code < 600
