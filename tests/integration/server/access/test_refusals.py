"""Refused calls become few audit events, whatever a caller does, and none is lost in an outage."""

import grpc
import grpc.aio
import pytest
import sqlalchemy as sa
import structlog.testing
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2_grpc
from duetime_core.model import audit, errors
from duetime_server.access import chain, refusals
from duetime_server.services import tasks
from tests.integration.postgres.test_database_outages import outage
from tests.integration.server.conftest import OUTAGE
from tests.support import audit as audited
from tests.support import guarded as guarded_servers
from tests.support import moved_time, principals

Engine = sqlalchemy_asyncio.AsyncEngine
FAILED, DENIED = audit.Kind.AUTHENTICATION_FAILED, audit.Kind.PERMISSION_DENIED
ONE = audit.Refusal(FAILED, "CREDENTIALS_INVALID", address="192.0.2.7")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> moved_time.MovedTime:
    """The clock of the minutes."""
    return moved_time.MovedTime(monkeypatch, refusals)


@pytest.fixture
def counting(engine: Engine, clock: moved_time.MovedTime) -> refusals.Refusals:
    """The refusals of a server, which are written when the test says so."""
    return refusals.Refusals(engine)


async def counts(engine: Engine) -> list[int]:
    return [each.calls for each in await audited.events(engine)]


async def test_the_same_refusal_is_one_event_a_minute_and_the_first_is_written_at_once(
    engine: Engine, counting: refusals.Refusals, clock: moved_time.MovedTime
) -> None:
    counting.add(ONE, "GetTask")
    await counting.write()
    assert await counts(engine) == [1]
    for _ in range(11):
        clock.move(5)
        for _ in range(100):
            counting.add(ONE, "ListTasks")
        await counting.write()
    assert await counts(engine) == [1]
    clock.move(5)
    await counting.write()
    await counting.write()
    assert await counts(engine) == [1, 1100]
    first, second = await audited.events(engine)
    assert (first.method, second.method, second.address) == ("GetTask", "ListTasks", "192.0.2.7")
    assert 49 < (second.timestamp - second.first_timestamp).total_seconds() < 51


async def test_what_differs_is_counted_apart_up_to_a_maximum_then_by_caller_and_then_by_reason(
    engine: Engine, counting: refusals.Refusals
) -> None:
    for number in range(10_000):
        counting.add(audit.Refusal(FAILED, "CREDENTIALS_INVALID", address=f"192.0.2.{number}"), "GetTask")
        counting.add(audit.Refusal(DENIED, "PERMISSION_DENIED", f"key:{number}", address="192.0.2.7"), "GetTask")
    await counting.write()
    found = await audited.events(engine)
    assert len(found) == 3 * refusals.MAX_REFUSALS + 2
    assert sum(each.calls for each in found) == 20_000
    assert len({each.actor for each in found if each.actor}) == 2 * refusals.MAX_REFUSALS
    rest = [each for each in found if each.address is None and each.actor is None]
    assert sorted((each.kind, each.calls) for each in rest) == [
        ("authentication_failed", 9900),
        ("permission_denied", 9800),
    ]


@pytest.mark.parametrize(
    "refused",
    [
        audit.Refusal(DENIED, "PERMISSION_DENIED", "key:stolen", "a" * 12, "192.0.2.7"),
        audit.Refusal(FAILED, "CREDENTIALS_INVALID", None, "a" * 12, "192.0.2.7"),
    ],
    ids=["denied", "wrong secret"],
)
async def test_calls_without_a_key_from_many_addresses_do_not_hide_whose_key_was_refused(
    engine: Engine, counting: refusals.Refusals, refused: audit.Refusal
) -> None:
    for number in range(1_000):
        counting.add(audit.Refusal(FAILED, "CREDENTIALS_MISSING", address=f"198.51.100.{number}"), "GetTask")
    counting.add(refused, "DeleteTask")
    await counting.write()
    found = [(each.kind, each.actor, each.key_id, each.address) for each in await audited.events(engine)]
    assert (refused.kind, refused.actor, "a" * 12, "192.0.2.7") in found


async def test_a_key_that_is_denied_from_many_addresses_keeps_its_name_and_that_of_others(
    engine: Engine, counting: refusals.Refusals
) -> None:
    for number in range(1_000):
        counting.add(audit.Refusal(DENIED, "PERMISSION_DENIED", "key:a", "a" * 12, f"192.0.2.{number}"), "GetTask")
    counting.add(audit.Refusal(DENIED, "PERMISSION_DENIED", "key:b", "b" * 12, "192.0.2.7"), "GetTask")
    await counting.write()
    found = await audited.events(engine)
    assert len(found) == refusals.MAX_REFUSALS + 2
    assert {(each.actor, each.key_id) for each in found} == {("key:a", "a" * 12), ("key:b", "b" * 12)}


async def test_a_refusal_is_forgotten_a_minute_after_it_was_written(
    engine: Engine, counting: refusals.Refusals, clock: moved_time.MovedTime
) -> None:
    for minute in range(3):
        for number in range(refusals.MAX_REFUSALS):
            counting.add(audit.Refusal(FAILED, "CREDENTIALS_INVALID", address=f"{minute}-{number}"), "GetTask")
        await counting.write()
        clock.move(refusals.EVENT_SECONDS)
        await counting.write()
    assert None not in {each.address for each in await audited.events(engine)}


async def test_no_count_is_lost_in_an_outage_and_adding_needs_no_database(
    engine: Engine, counting: refusals.Refusals, admin: Engine, database_url: str
) -> None:
    counting.add(ONE, "GetTask")
    async with outage(admin, database_url):
        for _ in range(3):
            with pytest.raises(errors.StoreUnavailable):
                await counting.write()
            counting.add(ONE, "GetTask")
    await counting.write()
    assert await counts(engine) == [4]


async def test_an_outage_is_logged_once_and_what_is_lost_when_the_server_stops_is_logged(
    counting: refusals.Refusals, admin: Engine, database_url: str
) -> None:
    counting.add(ONE, "GetTask")
    counting.add(ONE, "GetTask")
    with structlog.testing.capture_logs() as logged:
        async with outage(admin, database_url):
            with pytest.raises(errors.StoreUnavailable):
                await counting.write()
            await counting.write_last(seconds=20)
    levels = [(line["log_level"], line.get("calls")) for line in logged]
    assert levels == [("warning", None), ("error", 2)]


async def test_all_that_was_counted_is_written_when_the_server_stops(
    engine: Engine, counting: refusals.Refusals
) -> None:
    for _ in range(2):
        counting.add(ONE, "GetTask")
        await counting.write()
    await counting.write_last(seconds=20)
    assert await counts(engine) == [1, 1]


async def test_permitted_and_refused_calls_cost_no_statement(
    engine: Engine, counting: refusals.Refusals, task_service: tasks.TaskService
) -> None:
    tokens = principals.Tokens()
    server = grpc.aio.server(interceptors=chain.interceptors(tokens, OUTAGE, refused=counting))
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(task_service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    statements: list[str] = []
    sa.event.listen(engine.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        guarded = guarded_servers.Guarded(channel, tokens, f"127.0.0.1:{port}")
        for _ in range(3):
            await guarded.call("ListTasks")
            for token in ("viewer", "nobody"):
                with pytest.raises(grpc.aio.AioRpcError):
                    await guarded.call("CancelTasks", token=token)
    await server.stop(None)
    assert len(statements) >= 3
    assert not [statement for statement in statements if "audit" in statement or "api_keys" in statement]
    await counting.write()
    failed, denied = sorted(await audited.events(engine), key=lambda event: event.kind)
    assert (failed.kind, failed.reason, failed.actor, failed.address, failed.method, failed.calls) == (
        *("authentication_failed", "CREDENTIALS_INVALID", None, "127.0.0.1", "CancelTasks"),
        3,
    )
    assert (denied.kind, denied.reason, denied.actor, denied.calls) == (
        *("permission_denied", "PERMISSION_DENIED", "key:viewer"),
        3,
    )
