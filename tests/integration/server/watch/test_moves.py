"""Watches with a filter judge each change by its own queue and name, live and resumed alike."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.model import task
from duetime_core.process import background, outage
from duetime_core.store.tasks import bulk_edit
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import page as task_page
from duetime_server.watch import hub, streams
from tests.support import factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine
Row = tuple[str, str, str]  # the change, the queue after and before it


@pytest_asyncio.fixture
async def feeder(engine: Engine) -> AsyncIterator[hub.Hub]:
    """The hub of a server."""
    feeder = hub.Hub(engine, outage.Outage("the database", "watches wait"))
    services = background.start(feeder.run())
    yield feeder
    await background.end(services)


def watch(engine: Engine, feeder: hub.Hub, cursor: str = "") -> streams.Events:
    request = task_service_pb2.WatchTasksRequest(queue="mail", cursor=cursor)
    return streams.watch_tasks(engine, feeder, request)


async def changes(events: streams.Events, count: int) -> list[Row]:
    rows: list[Row] = []
    async with asyncio.timeout(20):
        async for event in events:
            if event.HasField("change"):
                rows.append((event.change.change, event.change.queue, event.change.previous_queue))
            if len(rows) == count:
                break
    await events.aclose()
    return rows


async def test_a_watch_of_a_queue_reports_tasks_that_leave_it_live_and_resumed_alike(
    engine: Engine, feeder: hub.Hub
) -> None:
    live = watch(engine, feeder)
    cursor = (await anext(live)).cursor
    following = asyncio.create_task(changes(live, 4))
    moved = await factories.create(engine, queue="mail")
    await task_edit.update(engine, moved, {"queue": "slow"}, version=None, actor="api")
    await task_edit.update(engine, moved, {"priority": 1}, version=None, actor="api")  # it left: not reported
    await factories.create(engine, queue="slow")
    wanted = task_page.Filter(statuses=(task.Status.PENDING,), queue="slow")
    moving = bulk_edit.change(
        engine,
        task.Change.UPDATED,
        wanted,
        changes={"queue": "mail"},
        progress=bulk_edit.Progress(),
        seconds=10,
        actor="api",
    )
    assert [len(batch) async for batch in moving] == [2]
    expected = [
        ("created", "mail", ""),
        ("updated", "slow", "mail"),
        ("updated", "mail", "slow"),
        ("updated", "mail", "slow"),
    ]
    assert await following == expected
    assert await changes(watch(engine, feeder, cursor), 4) == expected


async def test_a_watch_of_a_queue_resumes_after_retention_has_deleted_its_tasks(
    engine: Engine, feeder: hub.Hub
) -> None:
    live = watch(engine, feeder)
    cursor = (await anext(live)).cursor
    await live.aclose()
    task_id = await factories.create(engine, queue="mail")
    await task_edit.delete(engine, task_id, actor="api")
    await factories.create(engine, queue="slow")
    await rows.delete_all(engine)
    assert await changes(watch(engine, feeder, cursor), 2) == [("created", "mail", ""), ("deleted", "mail", "")]
