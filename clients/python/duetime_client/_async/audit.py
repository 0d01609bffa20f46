"""The client's method for audit events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from duetime.v1 import audit_pb2, audit_service_pb2
from duetime_client import audit, moment, scalar
from duetime_client._async import connection

_PAGE_SIZE = 1_000


class AsyncAudit(connection.AsyncConnection):
    """The method for audit events."""

    async def audit_events(
        self, *, kind: str | None = None, actor: str | None = None, key_id: str | None = None
    ) -> AsyncIterator[audit.AuditEvent]:
        """Iterates over the audit events that match, newest first."""
        message = audit_service_pb2.ListAuditEventsRequest(page_size=_PAGE_SIZE)
        scalar.filled(message, kind=kind, actor=actor, key_id=key_id)
        while True:
            page = await self._call(self._open().audit.ListAuditEvents, message)
            for event in page.events:
                yield _to_event(event)
            if not page.next_page_token:
                return
            message.page_token = page.next_page_token


def _to_event(message: audit_pb2.AuditEvent) -> audit.AuditEvent:
    return audit.AuditEvent(
        kind=scalar.choice(message, "kind"),
        timestamp=moment.from_timestamp(message.timestamp),
        first_timestamp=moment.from_timestamp(message.first_timestamp),
        calls=message.calls,
        actor=message.actor,
        address=message.address,
        key_id=message.key_id,
        method=message.method,
        reason=message.reason,
    )
