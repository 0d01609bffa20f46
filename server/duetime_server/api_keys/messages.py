"""Writes API keys as protobuf."""

import datetime

from google.protobuf import timestamp_pb2

from duetime.v1 import key_pb2
from duetime_core.model import api_key
from duetime_server.tasks import messages as task_messages


def from_key(row: api_key.ApiKey) -> key_pb2.ApiKey:
    """Returns a key as protobuf."""
    return key_pb2.ApiKey(
        key_id=row.key_id,
        name=row.grant.name,
        role=key_pb2.ApiKey.Role.Value(row.grant.role),
        may_read_payloads=row.grant.may_read_payloads,
        handlers=sorted(row.grant.handlers or ()),
        queues=sorted(row.grant.queues or ()),
        actor=row.actor,
        created_by=row.created_by,
        created_at=task_messages.timestamp(row.created_at),
        expires_at=_optional(row.expires_at),
        revoked_at=_optional(row.revoked_at),
        replaced_by=row.replaced_by or "",
        last_used_at=_optional(row.last_used_at),
        last_used_from=row.last_used_from or "",
        in_force=row.is_in_force,
    )


def _optional(time: datetime.datetime | None) -> timestamp_pb2.Timestamp | None:
    return None if time is None else task_messages.timestamp(time)
