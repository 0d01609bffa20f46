"""Changes of all tasks that match a filter."""

import asyncio

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_pb2, task_service_pb2
from duetime_core.model import errors, task
from duetime_core.postgres import database
from duetime_core.redis import doorbell
from duetime_core.store.tasks import read as task_read
from duetime_server.tasks import bulk
from tests.support import factories, primaries

Engine = sqlalchemy_asyncio.AsyncEngine


async def test_matching_tasks_are_changed_and_announced(
    engine: Engine, bell: doorbell.Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[task.Changed] = []
    cancelled: list[int] = []
    monkeypatch.setattr(bell, "announce", announced.extend)
    monkeypatch.setattr(bell, "cancelled", cancelled.extend)
    task_ids = [await factories.create(engine, queue="mail") for _ in range(3)]
    other = await factories.create(engine)
    request = task_service_pb2.CancelTasksRequest(filter=task_service_pb2.TaskFilter(queue="mail"))
    changed = await bulk.change(engine, bell, task.Change.CANCELLED, request)
    assert (changed.count, changed.has_more) == (3, False)
    assert sorted(cancelled) == sorted(each.task_id for each in announced) == task_ids
    assert await task_read.get_status(engine, other) is task.Status.PENDING


async def test_a_filter_needs_a_condition_and_a_status_that_allows_the_change(
    engine: Engine, bell: doorbell.Doorbell
) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^filter: is required: which tasks to change"):
        await bulk.change(engine, bell, task.Change.DELETED, task_service_pb2.DeleteTasksRequest())
    completed = task_service_pb2.TaskFilter(status=[task_pb2.Task.Status.Value("completed")])
    request = task_service_pb2.CancelTasksRequest(filter=completed)
    with pytest.raises(errors.InvalidArgument, match=r"^filter\.status: .*must be one of pending, running"):
        await bulk.change(engine, bell, task.Change.CANCELLED, request)


async def test_a_move_needs_a_time_or_a_queue(engine: Engine, bell: doorbell.Doorbell) -> None:
    with pytest.raises(errors.InvalidArgument, match="execution_time: or queue is required"):
        await bulk.change(engine, bell, task.Change.UPDATED, task_service_pb2.MoveTasksRequest(all=True))


async def test_a_call_that_finds_all_tasks_changed_already_waits_for_the_standby(
    primary: primaries.Primary, bell: doorbell.Doorbell
) -> None:
    engine = database.connect(primary.url)
    await factories.create(engine, queue="mail")
    request = task_service_pb2.CancelTasksRequest(filter=task_service_pb2.TaskFilter(queue="mail"))
    await bulk.change(engine, bell, task.Change.CANCELLED, request)
    async with primary.without_standby():
        repeated = asyncio.create_task(bulk.change(engine, bell, task.Change.CANCELLED, request))
        waiting = asyncio.create_task(primary.wait_for("SyncRep", 1))
        await asyncio.wait([repeated, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert not repeated.done()
        await waiting
    assert (await repeated).count == 0
    await engine.dispose()
