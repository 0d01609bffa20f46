"""API keys: how they are written, and what the database knows of one.

A key is `dt_<id>_<secret>_<checksum>`, in digits and letters. The prefix lets scanners find leaked ones, and the
checksum refuses what is no key, or a misspelt one, without a query.
"""

import dataclasses
import datetime
import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Collection

from duetime_core.model import access

DEFAULT_LIFETIME = datetime.timedelta(days=90)
DEFAULT_OVERLAP = datetime.timedelta(hours=24)
"""How long a key is accepted after it was rotated."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 12
_SECRET_BITS = 256
_SECRET_LENGTH = 43
"""The digits of 256 bits."""
_CHECKSUM_LENGTH = 6
"""The digits of 32 bits."""
_ID = re.compile(rf"[0-9A-Za-z]{{{_ID_LENGTH}}}")
_KEY = re.compile(
    rf"(dt_([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}}))_([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)


class Malformed(ValueError):
    """This is no API key: its form or its checksum is wrong."""


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """An API key as its user has it. The secret is in no database and no log."""

    key_id: str
    secret: str = dataclasses.field(repr=False)

    @classmethod
    def create(cls) -> "Token":
        """Returns a new one."""
        key_id = "".join(secrets.choice(_DIGITS) for _ in range(_ID_LENGTH))
        return cls(key_id, _written(secrets.randbits(_SECRET_BITS), _SECRET_LENGTH))

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Returns the one that is written so. Raises Malformed, without quoting it."""
        found = _KEY.fullmatch(text)
        if found is None or found[4] != _checksum(found[1]):
            raise Malformed(Malformed.__doc__)
        return cls(found[2], found[3])

    def write(self) -> str:
        """Returns it as its user gives it."""
        checked = f"dt_{self.key_id}_{self.secret}"
        return f"{checked}_{_checksum(checked)}"

    def digest(self) -> bytes:
        """Returns what the database keeps of the secret.

        A plain hash: 256 random bits cannot be guessed, and a slow one would let wrong keys use up the CPU.
        """
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, digest: bytes) -> bool:
        """Returns whether that is the digest of its secret, in a time that does not depend on where they differ."""
        return hmac.compare_digest(self.digest(), digest)


def is_id(text: str) -> bool:
    """Returns whether a key can have that id."""
    return _ID.fullmatch(text) is not None


def _written(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _written(zlib.crc32(text.encode()), _CHECKSUM_LENGTH)


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """What a key permits: the part of it that its creator chooses. None means all handlers, or all queues."""

    name: str
    role: access.Role
    may_read_payloads: bool = False
    handlers: frozenset[str] | None = None
    queues: frozenset[str] | None = None

    def exceeds(self, principal: access.Principal) -> list[str]:
        """Returns the fields in which it permits more than that principal may do; those may not give it to others."""
        exceeding = {
            "role": not principal.role.includes(self.role),
            "may_read_payloads": self.may_read_payloads and not principal.may_read_payloads,
            "handlers": not _is_within(self.handlers, principal.handlers),
            "queues": not _is_within(self.queues, principal.queues),
        }
        return [field for field, exceeds in exceeding.items() if exceeds]


def grant(
    name: str,
    role: access.Role,
    *,
    may_read_payloads: bool = False,
    handlers: Collection[str] = (),
    queues: Collection[str] = (),
) -> Grant:
    """Returns what such a key permits. No handlers or queues mean all; who may create work, may read payloads."""
    return Grant(
        name,
        role,
        may_read_payloads or role.reads_payloads,
        frozenset(handlers) or None,
        frozenset(queues) or None,
    )


def _is_within(given: frozenset[str] | None, permitted: frozenset[str] | None) -> bool:
    return permitted is None or (given is not None and given <= permitted)


@dataclasses.dataclass(frozen=True, slots=True)
class ApiKey:
    """A row of `api_keys`, without the digest of its secret. Times are by the database's clock."""

    key_id: str
    number: int  # in the order in which they were created
    grant: Grant
    actor: str  # as logs name it: the same for a key and those that replaced it
    created_by: str
    created_at: datetime.datetime
    expires_at: datetime.datetime | None  # None: never
    revoked_at: datetime.datetime | None
    replaced_by: str | None  # the id of the key that it was rotated to
    last_used_at: datetime.datetime | None
    last_used_from: str | None
    is_in_force: bool
    namespace_id: int

    def principal(self) -> access.Principal:
        """Returns who calls with it."""
        given = self.grant
        return access.Principal(
            self.actor,
            given.role,
            given.may_read_payloads,
            given.handlers,
            given.queues,
            self.expires_at,
            self.key_id,
            self.namespace_id,
        )
