"""Page tokens and watch cursors: opaque to callers, and refused where they do not belong."""

import base64
import binascii
import hashlib
import json

from duetime_server.rpc import violations

UNKNOWN = "must be one that the server gave, unchanged"
MOST_CHARACTERS = 32_768
"""The longest, a position with as many transactions in progress as it may have, is shorter."""


def encode(scope: object, value: object) -> str:
    """Returns the token that holds `value`, which JSON can hold, for what `scope` says it belongs to."""
    text = json.dumps([_digest(scope), value], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(field: str, token: str, scope: object) -> object:
    """Returns the value that `encode` put in for the same `scope`; raises InvalidArgument for anything else."""
    if len(token) > MOST_CHARACTERS:
        raise violations.refuse(field, UNKNOWN)
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        digest, value = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise violations.refuse(field, UNKNOWN) from None
    if digest != _digest(scope):
        raise violations.refuse(field, "belongs to another request: use it with the same task, filter and order")
    return value


def number(page_token: str, scope: object) -> int:
    """Returns the number that a page_token holds, 0 if there is none; raises InvalidArgument."""
    value = decode("page_token", page_token, scope) if page_token else 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise violations.refuse("page_token", UNKNOWN)
    return value


def name(page_token: str, scope: object) -> str:
    """Returns the name that a page_token holds, an empty one if there is none; raises InvalidArgument."""
    value = decode("page_token", page_token, scope) if page_token else ""
    if not isinstance(value, str) or not value.isprintable():  # anybody can make one, also of what is no text
        raise violations.refuse("page_token", UNKNOWN)
    return value


def _digest(scope: object) -> str:
    return hashlib.sha256(repr(scope).encode()).hexdigest()[:8]
