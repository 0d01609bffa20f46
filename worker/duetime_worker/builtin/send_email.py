"""Send Email: hands a mail to the SMTP server that the settings name."""

import email.message
import email.utils
from typing import Annotated, Any

import aiosmtplib
import pydantic

from duetime_worker import handlers, settings

TIMEOUT_SECONDS = 30


class Email(pydantic.BaseModel, extra="forbid"):
    """The task_data of Send Email: one address or several, a subject, and a body as text, HTML or both."""

    email: Annotated[list[pydantic.EmailStr], pydantic.Field(min_length=1)]
    subject: Annotated[str, pydantic.Field(pattern=r"^[^\r\n]*$")] = ""
    body: str = ""
    html: str | None = None

    @pydantic.field_validator("email", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


@handlers.handler("Send Email", timeout=TIMEOUT_SECONDS)
async def send_email(run: handlers.Task, mail: Email) -> dict[str, Any]:
    """Sends the mail. A server that refuses it for good fails the task; all else is retried.

    A retry sends the same Message-ID, so that the receiver's side can drop a mail that was sent twice.
    """
    smtp = settings.Smtp()
    message = _message(run, mail, smtp)
    try:
        await aiosmtplib.send(
            message,
            hostname=smtp.host,
            port=smtp.port,
            use_tls=smtp.tls == "tls",
            start_tls=smtp.tls == "starttls",
            username=smtp.username,
            password=smtp.password.get_secret_value() if smtp.password else None,
            timeout=TIMEOUT_SECONDS,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        if all(_is_permanent(refused.code) for refused in error.recipients):
            raise handlers.Fail(f"every recipient was refused: {error}") from error
        raise
    except aiosmtplib.SMTPResponseException as error:
        if _is_permanent(error.code):
            raise handlers.Fail(f"the mail server refused the mail: {error.code} {error.message}") from error
        raise
    return {"message_id": message["Message-ID"]}


def _message(run: handlers.Task, mail: Email, smtp: settings.Smtp) -> email.message.EmailMessage:
    message = email.message.EmailMessage()
    message["From"] = smtp.sender
    message["To"] = ", ".join(mail.email)
    message["Subject"] = mail.subject
    message["Date"] = email.utils.format_datetime(run.execution_time)
    domain = smtp.sender.rpartition("@")[2]
    message["Message-ID"] = f"<duetime-{run.task_id}-{run.created_at:%Y%m%d%H%M%S%f}@{domain}>"
    message.set_content(mail.body)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message


def _is_permanent(code: int) -> bool:
    return 500 <= code < 600
