"""Audit events: what happened to API keys, and which calls were refused to whom."""

import dataclasses
import datetime
import enum

from duetime_core.model import namespace


class Kind(enum.StrEnum):
    """What happened."""

    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    AUTHENTICATION_FAILED = "authentication_failed"
    """Calls without a valid credential."""
    PERMISSION_DENIED = "permission_denied"
    """Calls that their callers may not make."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A row of `audit_events`. Times are by the database's clock."""

    event_id: int
    kind: str  # a Kind, or one of a later release
    timestamp: datetime.datetime
    first_timestamp: datetime.datetime
    calls: int
    actor: str | None
    address: str | None
    key_id: str | None
    method: str | None
    reason: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Which events to list. None matches all."""

    kind: Kind | None = None
    actor: str | None = None
    key_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """What refused calls have in common that are counted together. None: not known, or of several."""

    kind: Kind
    reason: str
    """That of the error which the caller got."""
    actor: str | None = None
    key_id: str | None = None
    """The key with which the calls were made. Its secret may have been wrong."""
    address: str | None = None
    namespace_id: int = namespace.DEFAULT
    """That of the caller or of the key. Calls of unknown callers are shown in the default one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """How many calls were refused, and when: so long ago."""

    refusal: Refusal
    method: str
    """That of one of them."""
    calls: int
    first: datetime.timedelta
    last: datetime.timedelta
