"""AuditService: its rpc reads its request, calls the store and writes its response."""

from duetime.v1 import audit_service_pb2, audit_service_pb2_grpc
from duetime_core.store.audit import read as audit_read
from duetime_server.access import limits
from duetime_server.audit import messages as audit_messages
from duetime_server.audit import requests as audit_requests
from duetime_server.rpc import errors as rpc_errors
from duetime_server.rpc import fields, pools, tokens


class AuditService(audit_service_pb2_grpc.AuditServiceServicer):
    """The servicer. `rpc.errors` turns errors into statuses."""

    def __init__(self, connections: pools.Pools) -> None:
        self._pools = connections

    async def ListAuditEvents(
        self, request: audit_service_pb2.ListAuditEventsRequest, _: rpc_errors.Context
    ) -> audit_service_pb2.ListAuditEventsResponse:
        """Reads a page of events."""
        limits.require_none("read audit events")
        wanted, size = audit_requests.wanted(request), fields.page_size(request.page_size)
        scope = ("ListAuditEvents", tokens.filters(wanted))
        before = tokens.number(request.page_token, scope) if request.page_token else None
        found = await audit_read.list_events(self._pools.reads, wanted, before=before, limit=size + 1)
        return audit_service_pb2.ListAuditEventsResponse(
            events=[audit_messages.from_event(each) for each in found[:size]],
            next_page_token=tokens.following(scope, [each.event_id for each in found], size),
        )
