"""Quarantine: tasks that lost leases in a row are claimed apart from others."""

import datetime
from typing import Any

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.store.claiming import fast, rescue
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from tests.support import factories

NO_LEASE = datetime.timedelta(0)


async def quarantined(engine: sqlalchemy_asyncio.AsyncEngine, *, lost_leases: int = 2, **changes: Any) -> int:
    """Creates a task, loses its lease that often and returns its id."""
    task_id = await factories.create(engine, **{"max_retries": 100, **changes})
    for lost in range(lost_leases):
        if lost < min(fast.LEVELS):
            await factories.claim(engine, lease=NO_LEASE)
        else:
            await factories.claim_quarantined(engine, level=min(lost, max(fast.LEVELS)), lease=NO_LEASE)
        await rescue.reclaim(engine, worker_id="sweeper")
    assert (await task_read.get(engine, task_id)).lost_leases == lost_leases
    return task_id


def ids(tasks: list[task.Task]) -> list[int]:
    return [each.task_id for each in tasks]


async def test_a_quarantined_task_is_claimed_apart_by_how_many_leases_it_lost(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    often = [await quarantined(engine, lost_leases=lost_leases) for lost_leases in (4, 3)]
    twice = await quarantined(engine, lost_leases=2)
    once = await quarantined(engine, lost_leases=1)
    good = await factories.create(engine)
    assert ids(await factories.claim(engine)) == [once, good]
    assert ids(await factories.claim_quarantined(engine, level=2)) == [twice]
    assert ids(await factories.claim_quarantined(engine, level=3, limit=1)) == often[:1]
    assert ids(await factories.claim_quarantined(engine, level=3)) == often[1:]


async def test_quarantined_tasks_are_claimed_from_all_queues_of_the_worker(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    task_ids = {}
    for queue in ("one", "two", "three"):
        task_ids[queue] = await factories.create(engine, queue=queue)
        for _ in range(2):
            await factories.claim(engine, queue=queue, lease=NO_LEASE)
            await rescue.reclaim(engine, worker_id="sweeper")
    claimed = await fast.claim_quarantined(
        engine, queues=["one", "two"], level=2, worker_id="worker", limit=9, lease=factories.LEASE
    )
    assert ids(claimed) == [task_ids["one"], task_ids["two"]]


@pytest.mark.parametrize("change", [task.Change.COMPLETED, task.Change.FAILED, task.Change.RETRY_SCHEDULED])
async def test_a_run_that_ends_by_itself_ends_the_quarantine(
    engine: sqlalchemy_asyncio.AsyncEngine, change: task.Change
) -> None:
    task_id = await quarantined(engine)
    (run,) = await factories.claim_quarantined(engine)
    await task_outcomes.record(engine, [factories.outcome(run, change)], worker_id="worker")
    assert (await task_read.get(engine, task_id)).lost_leases == 0


async def test_a_released_run_keeps_the_quarantine(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    task_id = await quarantined(engine)
    (run,) = await factories.claim_quarantined(engine)
    await task_outcomes.record(engine, [factories.outcome(run, task.Change.RELEASED)], worker_id="worker")
    assert (await task_read.get(engine, task_id)).lost_leases == 2
    assert ids(await factories.claim_quarantined(engine)) == [task_id]


async def test_an_update_and_a_retry_end_the_quarantine(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    updated, retried = await quarantined(engine), await quarantined(engine, max_retries=1)
    await task_edit.update(engine, updated, {"task_data": {"fixed": True}}, version=None, actor="api")
    await task_edit.retry(engine, retried, actor="api")
    assert ids(await factories.claim(engine)) == [updated, retried]
    assert {(await task_read.get(engine, task_id)).lost_leases for task_id in (updated, retried)} == {0}


async def test_a_task_that_fails_after_several_lost_leases_is_reported_as_a_possible_poison_task(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    task_id = await quarantined(engine, lost_leases=3, max_retries=2)
    found = await task_read.get(engine, task_id)
    assert (found.status, found.retry_count) == (task.Status.FAILED, 2)
    assert found.error_message == (
        "Worker worker was lost: it stopped extending its lease. No retries are left. "
        "Its worker was lost 3 times in a row: the task may be what kills them."
    )
