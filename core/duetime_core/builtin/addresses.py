"""Email addresses, as settings and task_data name them."""

import re
from email import headerregistry

import email_validator

_SENDER = re.compile(
    r"""  "?(?P<name>[^<>"]*?)"?\s*  <(?P<named>[^\s<>@",;]+@[a-z0-9.-]+)>
        | (?P<bare>[^\s<>@",;]+@[a-z0-9.-]+)  """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)


def parse_recipient(text: object) -> headerregistry.Address:
    """Returns the address that `text` is: `ada@example.com`, or with a name `Ada Lovelace <ada@example.com>`.

    The domain becomes ASCII; what stands before the @ may be anything. Raises ValueError, saying what is wrong.
    """
    if not isinstance(text, str):
        raise ValueError("must be an email address")
    parts = email_validator.validate_email(text, allow_display_name=True, check_deliverability=False)
    return headerregistry.Address(parts.display_name or "", parts.local_part, parts.ascii_domain)


def parse_sender(text: str) -> headerregistry.Address:
    """Returns the address that the operator gave, whose domain may be of the house. Raises ValueError."""
    match = _SENDER.fullmatch(text)
    address = match and (match["named"] or match["bare"])
    if match is None or address is None or not text.isprintable() or not address.isascii():
        raise ValueError("must be an email address, such as Duetime <duetime@example.com>")
    user, _, domain = address.partition("@")
    return headerregistry.Address(match["name"] or "", user, domain)
