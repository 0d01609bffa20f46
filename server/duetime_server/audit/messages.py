"""Writes audit events as protobuf."""

from duetime.v1 import audit_pb2
from duetime_core.model import audit
from duetime_server.tasks import messages as task_messages

_UNKNOWN = "unspecified"
_KINDS = audit_pb2.AuditEvent.Kind.DESCRIPTOR.values_by_name


def from_event(row: audit.Event) -> audit_pb2.AuditEvent:
    """Returns an event as protobuf; of a kind that this release does not know, as unspecified."""
    return audit_pb2.AuditEvent(
        kind=audit_pb2.AuditEvent.Kind.Value(row.kind if row.kind in _KINDS else _UNKNOWN),
        timestamp=task_messages.timestamp(row.timestamp),
        first_timestamp=task_messages.timestamp(row.first_timestamp),
        calls=row.calls,
        actor=row.actor or "",
        address=row.address or "",
        key_id=row.key_id or "",
        method=row.method or "",
        reason=row.reason or "",
    )
