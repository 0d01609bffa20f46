"""Watches over a restart or failover of PostgreSQL: they continue, and what may have been lost is delivered again."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.model import errors
from duetime_core.process import background, outage
from duetime_core.store.tasks import edit as task_edit
from duetime_server.rpc import tokens
from duetime_server.watch import hub, streams
from tests.support import factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine


@pytest_asyncio.fixture
async def feeder(engine: Engine) -> AsyncIterator[hub.Hub]:
    """The hub of a server."""
    feeder = hub.Hub(engine, outage.Outage("the database", "watches wait"))
    services = background.start(feeder.run())
    yield feeder
    assert not any(service.done() for service in services)
    await background.end(services)


def watch_all(engine: Engine, feeder: hub.Hub, cursor: str = "") -> streams.Events:
    return streams.watch_tasks(engine, feeder, task_service_pb2.WatchTasksRequest(cursor=cursor))


def watch(engine: Engine, feeder: hub.Hub, task_id: int, cursor: str = "") -> streams.Events:
    return streams.watch_task(engine, feeder, task_service_pb2.WatchTaskRequest(task_id=task_id, cursor=cursor))


async def restarted(engine: Engine, *, lost: str = "") -> None:
    """Makes PostgreSQL look as if it was restarted, or replaced by a standby that did not get the rows `lost`."""
    async with engine.connect() as connection:
        if lost:
            await connection.execute(sa.text(f"DELETE FROM task_logs WHERE {lost}"))
        await connection.execute(
            sa.text("UPDATE feed_histories SET postmaster_started_at = postmaster_started_at - interval '1 day'")
        )


async def next_changes(events: streams.Events, count: int) -> list[tuple[int, int, str]]:
    changes: list[tuple[int, int, str]] = []
    async with asyncio.timeout(20):
        while len(changes) < count:
            event = await anext(events)
            assert not event.HasField("end"), event
            if event.HasField("change"):
                changes.append((event.change.task_id, event.change.version, event.change.change))
    return changes


async def test_a_watch_of_all_continues_over_a_restart_and_misses_and_repeats_nothing(
    engine: Engine, feeder: hub.Hub
) -> None:
    events = watch_all(engine, feeder)
    await anext(events)
    for _ in range(3):
        created = [await factories.create(engine) for _ in range(3)]
        assert await next_changes(events, 3) == [(task_id, 1, "created") for task_id in created]
        await restarted(engine)
    await events.aclose()


async def test_a_watch_of_all_delivers_again_what_came_since_the_last_mark_if_its_last_change_was_lost(
    engine: Engine, feeder: hub.Hub
) -> None:
    events = watch_all(engine, feeder)
    await anext(events)
    kept, lost = [await factories.create(engine) for _ in range(2)]
    assert len(await next_changes(events, 2)) == 2
    await restarted(engine, lost=f"task_id = {lost}")
    created = await factories.create(engine)
    assert await next_changes(events, 2) == [(kept, 1, "created"), (created, 1, "created")]
    await events.aclose()


async def test_a_watch_of_one_task_delivers_its_history_again_if_its_last_change_was_lost(
    engine: Engine, feeder: hub.Hub
) -> None:
    task_id = await factories.create(engine)
    events = watch(engine, feeder, task_id)
    await anext(events)
    await task_edit.update(engine, task_id, {"priority": 1}, version=None, actor="api")
    assert (updated := await anext(events)).change.version == 2
    await rows.change(engine, "version = 1, priority = 0")
    await restarted(engine, lost="version = 2")
    await task_edit.cancel(engine, task_id, actor="api")  # it has version 2, too
    again = [(task_id, 1, "created"), (task_id, 2, "cancelled")]
    assert await next_changes(events, 2) == again
    assert (await anext(events)).end.reason == "TASK_TERMINAL"
    assert await next_changes(watch(engine, feeder, task_id, updated.cursor), 2) == again


async def test_a_watch_of_one_task_continues_over_a_restart(engine: Engine, feeder: hub.Hub) -> None:
    task_id = await factories.create(engine)
    events = watch(engine, feeder, task_id)
    await anext(events)
    await restarted(engine)
    await task_edit.cancel(engine, task_id, actor="api")
    assert await next_changes(events, 1) == [(task_id, 2, "cancelled")]
    await events.aclose()


async def test_cursors_of_the_release_before_are_refused_with_the_reason(engine: Engine, feeder: hub.Hub) -> None:
    task_id = await factories.create(engine)
    of_one = tokens.encode(("WatchTask", task_id), 1)
    of_all = tokens.encode(("WatchTasks",), ["7381/5", "10:20:"])
    for events in (watch(engine, feeder, task_id, of_one), watch_all(engine, feeder, of_all)):
        with pytest.raises(errors.InvalidArgument, match=r"cursor: is of a release .* Begin again without it"):
            await anext(events)
