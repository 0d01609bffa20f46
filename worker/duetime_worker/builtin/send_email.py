"""Send Email: hands a mail to the SMTP server that the settings name."""

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
"""What a slow server may take (RFC 5321, 4.5.3.2), if the task's timeout lets it."""
_QUIT_SECONDS = 2
_TOO_BIG = 552
_TAKEN = frozenset({250, 251})
PATIENT_ATTEMPTS = 5
"""From this attempt on, by default an hour and a quarter after the first, the mail goes to those who can have it."""

_log = structlog.get_logger()


@handlers.built_in(builtin.SEND_EMAIL)
async def send_email(run: handlers.Task, mail: builtin.Email) -> dict[str, Any]:
    """Sends the mail. A server that refuses it, or all its recipients, for good fails the task.

    All else is retried: what is wrong with the server, the connection or the worker's own settings (its
    credentials, its sender) may be mended while the task waits.
    """
    sender = addresses.parse_sender(settings.Smtp().sender)
    async with parts.place(mail.attachments):
        attached = await parts.fetch(mail.attachments)
        message = await asyncio.to_thread(mails.make_message, run, mail, sender, attached=attached)
        return await deliver(run, mail, message)


async def deliver(run: handlers.Task, mail: builtin.Email, message: email.message.EmailMessage) -> dict[str, Any]:
    """Hands over the message of a mail; raises Retry or Fail as `send_email` does."""
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
        result = await _hand_over(client, run, mail, smtp, message)
        with contextlib.suppress(aiosmtplib.SMTPException):  # the server has the mail, whatever it says now
            await client.quit(timeout=_QUIT_SECONDS)
    except aiosmtplib.SMTPResponseException as error:
        raise handlers.Retry(f"the mail server {smtp.host} answered {error.code} {error.message}") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise handlers.Retry(f"the mail server {smtp.host}: {error}") from error
    finally:
        client.close()  # a server that is silent must not keep a cancelled run
    return result


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Reads the certificates of this machine, or those that SSL_CERT_FILE names, once: that takes long."""
    return ssl.create_default_context()


async def _hand_over(
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
        raise handlers.Fail(f"the mail server {smtp.host} takes no addresses beyond ASCII (SMTPUTF8)")
    try:
        await client.mail(sender.spec, options=["SMTPUTF8"] if needs_smtputf8 else [], encoding="utf-8")
        is_patient = run.attempt < PATIENT_ATTEMPTS and run.attempt <= run.max_retries
        refused = await _name_recipients(client, mail.recipients, is_patient=is_patient)
        await client.data(await asyncio.to_thread(message.as_bytes))
    except (aiosmtplib.SMTPDataError, aiosmtplib.SMTPSenderRefused) as error:
        # A sender that is refused is the settings' fault, but for this code.
        if _is_permanent(error) and (isinstance(error, aiosmtplib.SMTPDataError) or error.code == _TOO_BIG):
            raise handlers.Fail(f"the mail server refused the mail: {error.code} {error.message}") from error
        raise
    result: dict[str, Any] = {"message_id": message["Message-ID"]}
    if refused:
        _log.warning("the mail server refused some of the recipients", task_id=run.task_id, count=len(refused))
        result["refused"] = {each.recipient: f"{each.code} {each.message}" for each in refused}
    return result


async def _name_recipients(
    client: aiosmtplib.SMTP, recipients: Sequence[addresses.Address], *, is_patient: bool
) -> list[aiosmtplib.SMTPRecipientRefused]:
    """Returns those whom the mail does not reach, if it reaches anybody.

    While one is only put off, as servers that greylist do for an hour at most, nobody gets the mail yet: a retry would
    send it to the others once more. They must not wait for days.
    """
    refused = []
    for address in recipients:
        # Not by client.rcpt, which has Python's parser of headers look at the address once more.
        answer = await client.execute_command(b"RCPT", f"TO:<{address.spec}>".encode())
        if answer.code not in _TAKEN:
            refused.append(aiosmtplib.SMTPRecipientRefused(answer.code, answer.message, address.spec))
    put_off = [error for error in refused if not _is_permanent(error)]
    if put_off and (len(refused) == len(recipients) or is_patient):
        raise handlers.Retry(f"the mail server put off {_list(put_off)}")
    if len(refused) == len(recipients):
        raise handlers.Fail(f"the mail server refused every recipient: {_list(refused)}")
    return refused


def _list(refused: list[aiosmtplib.SMTPRecipientRefused]) -> str:
    return "; ".join(f"{each.recipient}: {each.code} {each.message}" for each in refused)


def _is_permanent(error: aiosmtplib.SMTPResponseException) -> bool:
    return 500 <= error.code < 600
