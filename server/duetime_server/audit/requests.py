"""Reads requests about audit events. All raise InvalidArgument."""

from duetime.v1 import audit_pb2, audit_service_pb2
from duetime_core.model import access, api_key, audit
from duetime_server.rpc import fields, violations


def wanted(request: audit_service_pb2.ListAuditEventsRequest) -> audit.Filter:
    """Reads which events to list."""
    problems = violations.Violations()
    read = audit.Filter(
        _kind(request, problems),
        fields.filter_text(request, "actor", problems, most=access.MAX_ACTOR_CHARACTERS),
        _key_id(request, problems),
    )
    problems.check()
    return read


def _kind(request: audit_service_pb2.ListAuditEventsRequest, problems: violations.Violations) -> audit.Kind | None:
    if request.kind == audit_pb2.AuditEvent.Kind.unspecified:
        return None
    return fields.choice(request, "kind", audit.Kind.KEY_CREATED, problems)


def _key_id(request: audit_service_pb2.ListAuditEventsRequest, problems: violations.Violations) -> str | None:
    if not request.HasField("key_id"):
        return None
    if not api_key.is_id(request.key_id):
        # It is not quoted: it may be a whole key.
        problems.add("key_id", "must be the 12 digits and letters after 'dt_', without the secret")
    return request.key_id
