"""AuditService, called without gRPC."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import audit_pb2, audit_service_pb2
from duetime_core.model import errors
from duetime_core.model.access import Principal, Role
from duetime_server import access
from duetime_server.services import audit
from tests.support import keys

CONTEXT: Any = None
Kind = audit_pb2.AuditEvent.Kind
Request = audit_service_pb2.ListAuditEventsRequest


async def pages(service: audit.AuditService, **wanted: Any) -> list[audit_pb2.AuditEvent]:
    found: list[audit_pb2.AuditEvent] = []
    request = Request(page_size=2, **wanted)
    while True:
        page = await service.ListAuditEvents(request, CONTEXT)
        found += page.events
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_events_are_listed_newest_first_a_page_at_a_time_by_kind_actor_and_key(
    audit_service: audit.AuditService, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    ids = [(await keys.create(engine, actor=f"key:{number % 2}"))[0].key_id for number in range(5)]
    _, new, _ = await keys.rotate(engine, ids[0])
    assert [(each.kind, each.key_id) for each in await pages(audit_service)] == [
        (Kind.key_created, new.key_id),
        (Kind.key_rotated, ids[0]),
        *((Kind.key_created, key_id) for key_id in reversed(ids)),
    ]
    assert [each.key_id for each in await pages(audit_service, actor="key:1")] == [ids[3], ids[1]]
    assert [each.kind for each in await pages(audit_service, key_id=ids[0])] == [Kind.key_rotated, Kind.key_created]
    (event,) = await pages(audit_service, kind=Kind.key_rotated)
    assert (event.calls, event.timestamp) == (1, event.first_timestamp)
    page = await audit_service.ListAuditEvents(Request(page_size=2), CONTEXT)
    with pytest.raises(errors.InvalidArgument, match="page_token: belongs to another request"):
        await audit_service.ListAuditEvents(Request(page_token=page.next_page_token, actor="key:1"), CONTEXT)


async def test_a_kind_of_a_later_release_is_unspecified(
    audit_service: audit.AuditService, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("INSERT INTO audit_events (kind) VALUES ('signed_in')"))
    (event,) = await pages(audit_service)
    assert event.kind == Kind.unspecified


@pytest.fixture(params=["handlers", "queues"])
def limited(request: pytest.FixtureRequest) -> Iterator[None]:
    """An admin whose key has limits calls."""
    limits: Any = {request.param: frozenset({"mail"})}
    token = access.principal.set(Principal("key:few", Role.ADMIN, may_read_payloads=True, **limits))
    yield
    access.principal.reset(token)


@pytest.mark.usefixtures("limited")
async def test_an_admin_with_limits_may_not_read_events(audit_service: audit.AuditService) -> None:
    with pytest.raises(errors.PermissionDenied, match="may not read audit events"):
        await audit_service.ListAuditEvents(Request(), CONTEXT)
