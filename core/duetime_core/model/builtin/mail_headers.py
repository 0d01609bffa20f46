"""The headers of a mail that a task may set."""

import re
from typing import Annotated

import pydantic

from duetime_core.model import quoting, validation

MAX_HEADERS = 50
MAX_CHARACTERS = 900
"""Of a header's value: a line of a mail has at most 998 characters, and this one begins with the name."""
_ALLOWED = (
    "Auto-Submitted",
    "Comments",
    "Expires",
    "Feedback-ID",
    "Importance",
    "In-Reply-To",
    "Keywords",
    "List-Archive",
    "List-Help",
    "List-ID",
    "List-Owner",
    "List-Post",
    "List-Subscribe",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Organization",
    "Precedence",
    "Priority",
    "References",
    "Sensitivity",
    "Thread-Index",
    "Thread-Topic",
)
_BY_LOWER = {name.lower(): name for name in _ALLOWED}
_UNSTRUCTURED = frozenset({"comments", "organization", "thread-topic"})
_OWN = re.compile(r"x-[a-z0-9-]{1,70}", re.IGNORECASE | re.ASCII)
_FIELDS = {"to": "email", "cc": "cc", "bcc": "bcc", "reply-to": "reply_to", "subject": "subject"}


def takes_any_text(name: str) -> bool:
    """Returns whether the value may contain non-ASCII characters: it is for people, or its meaning is private."""
    return name.lower() in _UNSTRUCTURED or _OWN.fullmatch(name) is not None


def _check_name(name: str) -> str:
    if field := _FIELDS.get(name.lower()):
        raise ValueError(f"has a field of its own: {field}")
    if name.lower() not in _BY_LOWER and not _OWN.fullmatch(name):
        raise ValueError(f"is not a header that a task may set; these are X-… and {', '.join(_ALLOWED)}")
    return name


def _check(headers: dict[str, str]) -> dict[str, str]:
    seen: set[str] = set()
    for name, value in headers.items():
        if name.lower() in seen:
            raise ValueError(f"has {name!r} twice")
        seen.add(name.lower())
        if quoting.CONTROL.search(value) or not value.strip():
            raise ValueError(f"has a wrong value of {name!r}: it must be one line, and not empty")
        if not value.isascii() and not takes_any_text(name):
            raise ValueError(f"has a wrong value of {name!r}: it must be ASCII")
    return headers


Headers = Annotated[
    dict[
        Annotated[str, pydantic.AfterValidator(_check_name)], Annotated[str, pydantic.Field(max_length=MAX_CHARACTERS)]
    ],
    validation.at_most(MAX_HEADERS),
    pydantic.AfterValidator(_check),
]
"""Name → value. Headers of the transport, the body and the addresses are not allowed."""
