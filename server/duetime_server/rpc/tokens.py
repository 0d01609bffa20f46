"""Page tokens and watch cursors: opaque to callers, and refused for another request than their own."""

import base64
import binascii
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from duetime_server.rpc import violations

UNKNOWN = "must be a value that the server returned, unchanged"
MAX_CHARACTERS = 32_768
"""More than the longest, a position with the most transactions in progress."""


def encode(scope: object, value: object) -> str:
    """Returns the token of `value`, which must be JSON, for the request that `scope` identifies."""
    text = json.dumps([_digest(scope), value], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def following(scope: object, keys: Sequence[object], size: int) -> str:
    """Returns the next_page_token for the rows with those keys, of which the page has `size`; empty if it has all."""
    return encode(scope, keys[size - 1]) if len(keys) > size else ""


def decode(field: str, token: str, scope: object) -> object:
    """Returns the value that `encode` wrote for the same `scope`. Raises InvalidArgument for anything else."""
    if len(token) > MAX_CHARACTERS:
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
    """Returns the number in a page_token, 0 if that is empty. Raises InvalidArgument."""
    value = decode("page_token", page_token, scope) if page_token else 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise violations.refuse("page_token", UNKNOWN)
    return value


def name(page_token: str, scope: object) -> str:
    """Returns the name in a page_token, an empty one if that is empty. Raises InvalidArgument."""
    value = decode("page_token", page_token, scope) if page_token else ""
    if not isinstance(value, str) or not value.isprintable():  # a caller can forge one, with any value
        raise violations.refuse("page_token", UNKNOWN)
    return value


def filters(wanted: Any) -> list[tuple[str, str]]:
    """Returns the part of a scope for a dataclass of filters: those that are set.

    So a new filter leaves the tokens and cursors of older releases valid.
    """
    given = ((field.name, getattr(wanted, field.name)) for field in dataclasses.fields(wanted))
    return sorted((name, _text(value)) for name, value in given if value not in (None, ()))


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _digest(scope: object) -> str:
    return hashlib.sha256(repr(scope).encode()).hexdigest()[:8]
