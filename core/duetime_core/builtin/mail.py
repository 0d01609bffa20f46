"""The mails that Send Email sends, as task_data describes them."""

import unicodedata
from email import headerregistry
from typing import Annotated

import pydantic

from duetime_core import misfits
from duetime_core.builtin import addresses

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
    misfits.at_most(MAX_RECIPIENTS),
    pydantic.BeforeValidator(_as_list),
    pydantic.Field(min_length=1),
]
"""One address, or several."""


class Email(pydantic.BaseModel, extra="forbid"):
    """The task_data of Send Email: one address or several, a subject, and a body as text, HTML or both."""

    email: Recipients
    subject: Annotated[str, pydantic.Field(max_length=MAX_SUBJECT_CHARACTERS), pydantic.AfterValidator(one_line)] = ""
    body: str = ""
    html: str | None = None
