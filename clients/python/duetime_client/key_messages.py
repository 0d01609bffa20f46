"""Converts API keys from messages, and builds the requests about them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from duetime.v1 import key_pb2, key_service_pb2
from duetime_client import errors, key, moment, scalar


def to_key(message: key_pb2.ApiKey) -> key.ApiKey:
    """Returns the message as an ApiKey."""
    return key.ApiKey(
        key_id=message.key_id,
        name=message.name,
        role=scalar.choice(message, "role"),
        may_read_payloads=message.may_read_payloads,
        handlers=tuple(message.handlers),
        queues=tuple(message.queues),
        actor=message.actor,
        created_by=message.created_by,
        created_at=moment.from_timestamp(message.created_at),
        expires_at=_optional(message, "expires_at"),
        revoked_at=_optional(message, "revoked_at"),
        replaced_by=message.replaced_by,
        last_used_at=_optional(message, "last_used_at"),
        last_used_from=message.last_used_from,
        in_force=message.in_force,
    )


def _optional(message: Any, name: str) -> datetime.datetime | None:
    return moment.from_timestamp(getattr(message, name)) if message.HasField(name) else None


def create_key(
    name: str,
    role: str,
    *,
    may_read_payloads: bool,
    handlers: Iterable[str],
    queues: Iterable[str],
    expires_in: datetime.timedelta | None,
    never_expires: bool,
) -> key_service_pb2.CreateKeyRequest:
    """Returns the request that creates a key."""
    message = key_service_pb2.CreateKeyRequest()
    scalar.filled(message, name=name, role=role, may_read_payloads=may_read_payloads, never_expires=never_expires)
    for field, names in (("handlers", handlers), ("queues", queues)):
        try:
            getattr(message, field).extend([names] if isinstance(names, str) else names)
        except (TypeError, ValueError):
            raise errors.invalid(field, "must be strings") from None
    if expires_in is not None:
        message.expires_in.CopyFrom(moment.to_duration(expires_in, "expires_in"))
        message.expires_in.SetInParent()
    return message


def rotate_key(key_id: str, overlap: datetime.timedelta | None) -> key_service_pb2.RotateKeyRequest:
    """Returns the request that rotates a key."""
    message = scalar.filled(key_service_pb2.RotateKeyRequest(), key_id=key_id)
    if overlap is not None:
        message.overlap.CopyFrom(moment.to_duration(overlap, "overlap"))
        message.overlap.SetInParent()
    return message
