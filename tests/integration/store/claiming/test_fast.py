"""Claims give each due task to one worker, in order, never early; lost tasks are reclaimed."""

import asyncio
import collections
import datetime

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.store.claiming import fast, rescue
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from tests.support import factories, rows

HOUR = datetime.timedelta(hours=1)
NO_LEASE = datetime.timedelta(0)


def in_(span: datetime.timedelta) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + span


async def test_concurrent_claims_never_take_a_task_twice(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    created = {await factories.create(engine) for _ in range(60)}
    taken: collections.Counter[int] = collections.Counter()

    async def work(worker_id: str) -> None:
        while tasks := await factories.claim(engine, worker_id=worker_id, limit=3):
            taken.update(claimed.task_id for claimed in tasks)
            assert {claimed.worker_id for claimed in tasks} == {worker_id}

    await asyncio.gather(*(work(f"worker-{number}") for number in range(8)))
    assert taken == dict.fromkeys(created, 1)


async def test_a_claim_does_not_wait_for_a_locked_task(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    held, free = await factories.create(engine), await factories.create(engine)
    async with rows.locked(engine, held), asyncio.timeout(5):
        assert [claimed.task_id for claimed in await factories.claim(engine)] == [free]
    assert [claimed.task_id for claimed in await factories.claim(engine)] == [held]


async def test_a_claim_takes_up_to_its_limit_the_longest_due_first(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    # A time in the past means now when a task is created, so these are moved there.
    task_ids = [await factories.create(engine) for _ in range(5)]
    for hours, task_id in enumerate(task_ids, 1):
        await rows.move_back(engine, hours * HOUR, task_id)
    assert [claimed.task_id for claimed in await factories.claim(engine, limit=2)] == task_ids[:2:-1]
    assert [claimed.task_id for claimed in await factories.claim(engine, limit=9)] == task_ids[2::-1]


async def test_a_claim_takes_due_tasks_only_and_returns_when_the_next_is_due(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    later = in_(HOUR)
    await factories.create(engine, execution_time=later + HOUR)
    await factories.create(engine, execution_time=later)
    await factories.create(engine, execution_time=in_(factories.SECOND), queue="other")
    now = await factories.create(engine)
    claim = await fast.claim(engine, queue="default", worker_id="worker", limit=5, lease=factories.LEASE)
    assert [claimed.task_id for claimed in claim.tasks] == [now]
    assert claim.next_due_at == later
    empty = await fast.claim(engine, queue="empty", worker_id="worker", limit=5, lease=factories.LEASE)
    assert (empty.tasks, empty.next_due_at) == ([], None)
    assert empty.now >= claim.now


async def test_a_claimed_task_has_its_worker_and_lease(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await factories.create(engine)
    (claimed,) = await factories.claim(engine, worker_id="worker-1")
    assert (claimed.status, claimed.version, claimed.worker_id) == (task.Status.RUNNING, 2, "worker-1")
    assert claimed.executed_at is not None
    assert claimed.executed_at >= claimed.execution_time
    assert claimed.lease_expires_at == claimed.executed_at + factories.LEASE


@pytest.mark.parametrize("status", sorted(set(task.Status) - {task.Status.PENDING}))
async def test_only_a_pending_task_is_claimed(engine: sqlalchemy_asyncio.AsyncEngine, status: task.Status) -> None:
    task_id = await factories.brought_to(engine, status)
    queue = (await task_read.get(engine, task_id)).queue
    assert await factories.claim(engine, queue=queue) == []


async def test_a_lost_task_is_pending_again_and_has_spent_a_retry(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    task_id = await factories.create(engine, max_retries=1)
    await factories.claim(engine, worker_id="lost", lease=NO_LEASE)
    assert await rescue.reclaim(engine, worker_id="sweeper") == [task_id]
    found = await task_read.get(engine, task_id)
    assert (found.status, found.retry_count, found.worker_id) == (task.Status.PENDING, 1, None)
    assert found.error_message == "Worker lost was lost: it stopped extending its lease."
    assert await factories.history(engine, task_id) == ["created", "started", "lease_lost"]


async def test_the_last_lost_lease_fails_the_task_with_the_reason(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    task_id = await factories.create(engine, max_retries=0)
    await factories.claim(engine, worker_id="lost", lease=NO_LEASE)
    assert await rescue.reclaim(engine, worker_id="sweeper") == [task_id]
    found = await task_read.get(engine, task_id)
    assert (found.status, found.retry_count) == (task.Status.FAILED, 0)
    assert found.error_message == "Worker lost was lost: it stopped extending its lease. No retries are left."


async def test_a_lost_lease_keeps_the_retries_spent_before_fewer_were_allowed(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    task_id = await factories.create(engine, max_retries=5)
    for _ in range(3):
        (run,) = await factories.claim(engine)
        again = factories.outcome(run, task.Change.RETRY_SCHEDULED, backoff=NO_LEASE)
        await task_outcomes.record(engine, [again], worker_id="worker")
    await task_edit.update(engine, task_id, {"max_retries": 1}, version=None, actor="api")
    await factories.claim(engine, lease=NO_LEASE)
    await rescue.reclaim(engine, worker_id="sweeper")
    found = await task_read.get(engine, task_id)
    assert (found.status, found.retry_count, found.max_retries) == (task.Status.FAILED, 3, 3)


async def test_a_task_whose_lease_has_not_expired_is_not_reclaimed(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await factories.create(engine)
    await factories.claim(engine)
    assert await rescue.reclaim(engine, worker_id="sweeper") == []


async def test_concurrent_sweeps_reclaim_each_task_once(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    task_ids = [await factories.create(engine) for _ in range(20)]
    await factories.claim(engine, lease=NO_LEASE)
    returned = await asyncio.gather(*(rescue.reclaim(engine, worker_id=f"sweeper-{n}") for n in range(6)))
    assert sorted(task_id for each in returned for task_id in each) == task_ids
    for task_id in task_ids:
        assert await factories.history(engine, task_id) == ["created", "started", "lease_lost"]
