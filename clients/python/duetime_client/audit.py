"""Audit events."""

import dataclasses
import datetime
import enum


class AuditKind(enum.StrEnum):
    """What an audit event says."""

    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    AUTHENTICATION_FAILED = "authentication_failed"
    """Calls without a valid key were refused."""
    PERMISSION_DENIED = "permission_denied"
    """Calls that a key does not permit were refused."""


@dataclasses.dataclass(frozen=True, slots=True)
class AuditEvent:
    """A change of an API key, or calls that were refused."""

    kind: str
    """One of AuditKind; new ones may be added."""
    timestamp: datetime.datetime
    """Of several calls, the last one's."""
    first_timestamp: datetime.datetime
    calls: int
    """How many refused calls of the same actor, address, key and reason; otherwise 1."""
    actor: str
    """Empty if that is not known, or of several."""
    address: str
    """An IP address, an IPv6 network, or `unix`; empty if that is not known, or of several."""
    key_id: str
    method: str
    """The rpc that was refused, or the first of them."""
    reason: str
    """That of the error which the caller got."""
