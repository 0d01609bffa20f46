"""Queues as they are listed and controlled."""

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import errors, queue, task
from duetime_core.store import queues
from tests import factories


async def listed(engine: sqlalchemy_asyncio.AsyncEngine) -> dict[str, queue.Queue]:
    return {each.name: each for each in await queues.list_queues(engine)}


async def test_a_queue_tells_what_is_due_since_when_and_what_runs(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    now = datetime.datetime.now(datetime.UTC)
    await factories.create(engine, queue="mail")
    await factories.claim(engine, queue="mail")
    waiting = [await factories.create(engine, queue="mail", priority=priority) for priority in (0, 7)]
    await factories.create(engine, queue="mail", execution_time=now + datetime.timedelta(hours=1))
    await factories.create(engine, queue="later", execution_time=now + datetime.timedelta(hours=1))
    async with engine.connect() as connection:
        oldest = await connection.scalar(
            sa.text(f"SELECT min(execution_time) FROM tasks WHERE task_id IN ({waiting[0]}, {waiting[1]})")
        )
    found = await listed(engine)
    assert found == {
        "later": queue.Queue("later", queue.FREE),
        "mail": queue.Queue("mail", queue.FREE, depth=2, oldest_due=oldest, running=1),
    }


async def test_a_queue_counts_its_suspects_and_the_occurrences_that_are_due(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    for column in ("lost_leases = 2", "is_next = true"):
        task_id = await factories.create(engine)
        async with engine.connect() as connection:
            await connection.execute(sa.text(f"UPDATE tasks SET {column} WHERE task_id = {task_id}"))
    assert (await queues.get(engine, task.DEFAULT_QUEUE)).depth == 2


async def test_a_queue_whose_tasks_have_all_ended_is_not_listed(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await factories.brought_to(engine, task.Status.COMPLETED)
    assert await listed(engine) == {}


async def test_changes_leave_the_other_limits_as_they_are(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await queues.update(engine, "mail", {"max_running": 5}, is_new=True)
    await queues.update(engine, "mail", {"max_per_second": 2.5}, is_new=False)
    updated, _ = await queues.update(engine, "mail", {"max_running": None}, is_new=False)
    assert updated.control == queue.Control(max_per_second=2.5)
    assert (await queues.get(engine, "mail")).control == updated.control


async def test_a_queue_that_nothing_holds_back_any_more_leaves_no_row(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await queues.update(engine, "mail", {"is_paused": True}, is_new=True)
    updated, _ = await queues.update(engine, "mail", {"is_paused": False}, is_new=False)
    assert updated == queue.Queue("mail", queue.FREE)
    assert await listed(engine) == {}


@pytest.mark.parametrize("changes", [{"is_paused": True}, {"max_running": 3}], ids=str)
async def test_an_unknown_queue_is_not_held_back_by_mistake(
    engine: sqlalchemy_asyncio.AsyncEngine, changes: dict[str, Any]
) -> None:
    with pytest.raises(errors.QueueNotFound, match="mial"):
        await queues.update(engine, "mial", changes, is_new=False)
    with pytest.raises(errors.QueueNotFound):
        await queues.get(engine, "mial")
    assert await listed(engine) == {}
