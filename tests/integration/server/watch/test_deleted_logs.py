"""Watches of tasks, and from cursors, whose log rows retention has deleted."""

import asyncio
import datetime
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.model import errors, task
from duetime_core.process import background, outage
from duetime_core.store.log import retention
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import history
from duetime_core.store.tasks import read as task_read
from duetime_server.watch import hub, streams
from tests.support import factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine
KEEP = datetime.timedelta(days=1)


def make_hub(engine: Engine) -> hub.Hub:
    return hub.Hub(engine, outage.Outage("the database", "watches wait"))


@pytest_asyncio.fixture
async def feeder(engine: Engine) -> AsyncIterator[hub.Hub]:
    """The hub of a server."""
    feeder = make_hub(engine)
    services = background.start(feeder.run())
    yield feeder
    await background.end(services)


def watch(engine: Engine, feeder: hub.Hub, task_id: int, cursor: str = "") -> streams.Events:
    request = task_service_pb2.WatchTaskRequest(task_id=task_id, cursor=cursor)
    return streams.watch_task(engine, feeder, request)


def kind(event: task_service_pb2.TaskEvent) -> str:
    return event.change.change or event.end.reason or "heartbeat"


async def forget(engine: Engine, task_id: int, *, upto: int) -> None:
    """Deletes a task's log rows as retention does."""
    async with engine.connect() as connection:
        old = sa.text("UPDATE task_logs SET timestamp = '2000-01-01' WHERE task_id = :task_id AND version <= :upto")
        await connection.execute(old, {"task_id": task_id, "upto": upto})
    assert sum([deleted async for deleted in retention.delete_strays(engine, KEEP)]) == upto


async def test_a_watch_of_a_task_that_outlived_the_log_begins_with_its_current_state(
    engine: Engine, feeder: hub.Hub
) -> None:
    task_id = await factories.create(engine)
    await forget(engine, task_id, upto=1)
    found = await task_read.get(engine, task_id)
    async with asyncio.timeout(20):
        events = watch(engine, feeder, task_id)
        change = (await anext(events)).change
        assert (change.change, change.version, change.actor) == ("current", 1, "")
        assert change.timestamp.ToDatetime(datetime.UTC) == found.updated_at
        assert change.execution_time.ToDatetime(datetime.UTC) == found.execution_time
        await task_edit.cancel(engine, task_id, actor="api")
        assert [kind(event) async for event in events] == ["cancelled", "TASK_TERMINAL"]
    assert [log.change for log in await task_read.list_logs(engine, task_id, after_version=0, limit=10)] == [
        "cancelled"
    ]


@pytest.mark.parametrize("status", sorted(task.FINISHED))
async def test_a_watch_of_a_finished_task_without_a_log_ends(
    engine: Engine, feeder: hub.Hub, status: task.Status
) -> None:
    task_id = await factories.brought_to(engine, status)
    await forget(engine, task_id, upto=3)
    async with asyncio.timeout(20):
        events = [event async for event in watch(engine, feeder, task_id)]
        assert [kind(event) for event in events] == ["current", "TASK_TERMINAL"]
        again = [event async for event in watch(engine, feeder, task_id, events[0].cursor)]
    assert [kind(event) for event in again] == ["TASK_TERMINAL"]


async def test_a_watch_resumes_after_a_deleted_change_if_no_later_one_is_deleted(
    engine: Engine, feeder: hub.Hub
) -> None:
    task_id = await factories.create(engine)
    events = watch(engine, feeder, task_id)
    cursor = (await anext(events)).cursor
    await events.aclose()
    await forget(engine, task_id, upto=1)
    async with asyncio.timeout(20):
        events = watch(engine, feeder, task_id, cursor)
        assert kind(await anext(events)) == "heartbeat"
        await events.aclose()
        await task_edit.cancel(engine, task_id, actor="api")
        rest = [kind(event) async for event in watch(engine, feeder, task_id, cursor)]
    assert rest == ["cancelled", "TASK_TERMINAL"]


@pytest.mark.parametrize("upto", [2, 3])
async def test_a_watch_does_not_resume_over_a_gap(engine: Engine, feeder: hub.Hub, upto: int) -> None:
    task_id = await factories.create(engine)
    events = watch(engine, feeder, task_id)
    cursor = (await anext(events)).cursor
    await events.aclose()
    await factories.claim(engine)
    await task_edit.cancel(engine, task_id, actor="api")
    await forget(engine, task_id, upto=upto)
    with pytest.raises(errors.InvalidArgument, match=r"cursor: is too old.*Begin again without it"):
        await anext(watch(engine, feeder, task_id, cursor))


async def test_a_task_that_is_deleted_while_it_is_watched_has_its_end_sent(engine: Engine) -> None:
    task_id = await factories.create(engine)
    feeder = make_hub(engine)
    events = watch(engine, feeder, task_id)
    assert kind(await anext(events)) == "created"
    await task_edit.cancel(engine, task_id, actor="api")
    await rows.change(engine, "updated_at = '2000-01-01'")
    assert sum([deleted async for deleted in history.delete_strays(engine, KEEP)]) == 1
    services = background.start(feeder.run())
    async with asyncio.timeout(20):
        assert [kind(event) async for event in events] == ["cancelled", "TASK_TERMINAL"]
    await background.end(services)


async def test_a_watch_of_all_resumes_only_where_no_change_is_deleted(engine: Engine, feeder: hub.Hub) -> None:
    def watch_all(cursor: str = "") -> streams.Events:
        return streams.watch_tasks(engine, feeder, task_service_pb2.WatchTasksRequest(cursor=cursor))

    before = (await anext(watch_all())).cursor
    task_id = await factories.create(engine)
    after = (await anext(watch_all())).cursor
    events = watch_all(before)
    assert [kind(await anext(events)) for _ in range(2)] == ["heartbeat", "created"]
    await events.aclose()
    await forget(engine, task_id, upto=1)
    with pytest.raises(errors.InvalidArgument, match="cursor: is too old"):
        await anext(watch_all(before))
    assert kind(await anext(watch_all(after))) == "heartbeat"
