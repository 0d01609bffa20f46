"""The mails that Send Email sends, as task_data describes them."""

from typing import Annotated

import pydantic

from duetime_core.model import quoting, validation
from duetime_core.model.builtin import addresses
from duetime_core.model.builtin.attachment import Attachments
from duetime_core.model.builtin.mail_headers import Headers

MAX_RECIPIENTS = 100
"""What every server takes in one transaction (RFC 5321, 4.5.3.1.8)."""
MAX_SUBJECT_CHARACTERS = 998
"""The longest line of a mail (RFC 5322, 2.1.1)."""


def _as_list(value: object) -> object:
    # Parsed here, so that an error names the field and not the first item of a list that was not given.
    if isinstance(value, str):
        return [addresses.parse(value)]
    if not isinstance(value, list):
        raise ValueError("must be an address, or a list of addresses")
    return value


def one_line(text: str) -> str:
    """Returns a text that is one line; raises ValueError for others."""
    if quoting.CONTROL.search(text):
        raise ValueError("must not contain line breaks or other control characters")
    return text


Recipients = Annotated[
    list[Annotated[addresses.Address, pydantic.PlainValidator(addresses.parse)]],
    validation.at_most(MAX_RECIPIENTS),
    pydantic.BeforeValidator(_as_list),
    pydantic.Field(min_length=1),
]
"""One address, or several."""


class Email(pydantic.BaseModel, extra="forbid"):
    """The task_data of Send Email: recipients, a subject, and a body as text, HTML or both."""

    email: Recipients
    cc: Recipients | None = None
    bcc: Recipients | None = None
    """Receive the mail, but do not appear in it."""
    reply_to: Recipients | None = None
    """Where replies go instead of to the sender."""
    subject: Annotated[str, pydantic.Field(max_length=MAX_SUBJECT_CHARACTERS), pydantic.AfterValidator(one_line)] = ""
    body: str = ""
    html: str | None = None
    headers: Headers = {}
    attachments: Attachments = []

    @property
    def recipients(self) -> list[addresses.Address]:
        """All recipients, each once."""
        everyone = [*self.email, *(self.cc or ()), *(self.bcc or ())]
        return list({address.spec: address for address in everyone}.values())

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Email":
        count = sum(len(each or ()) for each in (self.email, self.cc, self.bcc))
        if count > MAX_RECIPIENTS:
            raise ValueError(
                f"email, cc and bcc must have at most {MAX_RECIPIENTS} addresses together; there are {count}"
            )
        return self
