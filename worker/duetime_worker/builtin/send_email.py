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
    """Sends the mail, and tells which recipients were refused if some were.

    A server that refuses the mail, or all recipients, for good fails the task; all else is retried, refused
    credentials too, because they are the operator's to mend. A retry sends the same Message-ID, so that the
    receivers can drop a mail that was sent twice.
    """
    smtp = settings.Smtp()
    message = _message(run, mail, smtp)
    try:
        refused, _ = await aiosmtplib.send(
            message,
            hostname=smtp.host,
            port=smtp.port,
            use_tls=smtp.tls == "tls",
            start_tls=smtp.tls == "starttls",
            username=smtp.username,
            password=smtp.password.get_secret_value() if smtp.password else None,
            timeout=None,  # the run's is the one that counts
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        answers = {each.recipient: f"{each.code} {each.message}" for each in error.recipients}
        if all(_is_permanent(each.code) for each in error.recipients):
            raise handlers.Fail(f"every recipient was refused: {answers}") from error
        raise handlers.Retry(f"every recipient was refused: {answers}") from error
    except aiosmtplib.SMTPAuthenticationError:
        raise
    except aiosmtplib.SMTPResponseException as error:
        if _is_permanent(error.code):
            raise handlers.Fail(f"the mail server refused the mail: {error.code} {error.message}") from error
        raise
    result: dict[str, Any] = {"message_id": message["Message-ID"]}
    if refused:
        result["refused"] = {recipient: f"{answer.code} {answer.message}" for recipient, answer in refused.items()}
    return result


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
