"""The mails that Send Email sends: what task_data says of them, and the messages made from that."""

import email.message
import email.policy
import email.utils
import unicodedata
from email import headerregistry
from typing import Annotated

import pydantic

from duetime_worker import addresses, handlers

MAX_RECIPIENTS = 100
"""What every server takes in one transaction (RFC 5321, 4.5.3.1.8)."""
MAX_SUBJECT_CHARACTERS = 998
"""The longest line of a mail (RFC 5322, 2.1.1)."""


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def one_line(text: str) -> str:
    """Returns a text that is one line; raises ValueError for others."""
    # Cc has the line breaks that begin another header, Zl and Zp those that some readers take for one.
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise ValueError("must not contain line breaks or other control characters")
    return text


Recipients = Annotated[
    list[Annotated[headerregistry.Address, pydantic.PlainValidator(addresses.parse_recipient)]],
    pydantic.BeforeValidator(_as_list),
    pydantic.Field(min_length=1, max_length=MAX_RECIPIENTS),
]
"""One address, or several."""


class Email(pydantic.BaseModel, extra="forbid"):
    """The task_data of Send Email: one address or several, a subject, and a body as text, HTML or both."""

    email: Recipients
    subject: Annotated[str, pydantic.Field(max_length=MAX_SUBJECT_CHARACTERS), pydantic.AfterValidator(one_line)] = ""
    body: str = ""
    html: str | None = None


def needs_smtputf8(mail: Email) -> bool:
    """Tells whether only a server that takes addresses beyond ASCII (RFC 6531) can send it."""
    return not all(address.addr_spec.isascii() for address in mail.email)


def make_message(run: handlers.Task, mail: Email, sender: headerregistry.Address) -> email.message.EmailMessage:
    """Returns the message of this run. All but its headers is ASCII, and so are these unless an address is not.

    A retry has the same Message-ID, by which the receiver's side can drop what it already has. Its Date is when
    the run was due: a mail that waited out an outage is not an old one.
    """
    policy = email.policy.SMTPUTF8 if needs_smtputf8(mail) else email.policy.SMTP
    message = email.message.EmailMessage(policy.clone(cte_type="7bit"))
    message["From"] = sender
    message["To"] = mail.email
    message["Subject"] = mail.subject
    message["Date"] = email.utils.format_datetime(max(run.execution_time, run.created_at))
    message["Message-ID"] = f"<duetime-{run.task_id}-{run.created_at:%Y%m%d%H%M%S%f}@{sender.domain}>"
    if mail.html is None:
        message.set_content(mail.body)
    elif not mail.body:
        message.set_content(mail.html, subtype="html")
    else:
        message.set_content(mail.body)
        message.add_alternative(mail.html, subtype="html")
    return message
