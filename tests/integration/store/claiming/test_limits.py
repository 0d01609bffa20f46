"""Limited queues: no claim takes more than their limits allow, over all workers."""

import asyncio
import contextlib
import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.store.claiming import fast, locked, queue_lock
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.support import factories, rows

SECOND = datetime.timedelta(seconds=1)


async def limits(engine: sqlalchemy_asyncio.AsyncEngine, **changes: Any) -> None:
    await queue_limit.update(engine, task.DEFAULT_QUEUE, changes, is_new=True, actor="api")


async def look(engine: sqlalchemy_asyncio.AsyncEngine, *, worker_id: str = "worker", limit: int = 100) -> fast.Claim:
    """Claims, again while the queue is locked."""
    while True:
        with contextlib.suppress(errors.QueueBusy):
            return await locked.claim(
                engine, queue=task.DEFAULT_QUEUE, worker_id=worker_id, limit=limit, lease=factories.LEASE
            )


async def finish(engine: sqlalchemy_asyncio.AsyncEngine, tasks: Sequence[task.Task]) -> None:
    outcomes = [factories.outcome(each) for each in tasks]
    assert len(await task_outcomes.record(engine, outcomes, worker_id="worker")) == len(tasks)


def keys(claim: fast.Claim) -> list[str | None]:
    return [each.concurrency_key for each in claim.tasks]


async def test_no_task_of_a_paused_queue_starts_until_it_is_resumed(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    task_id = await factories.create(engine)
    await limits(engine, is_paused=True)
    ordinary = await fast.claim(engine, queue=task.DEFAULT_QUEUE, worker_id="worker", limit=9, lease=factories.LEASE)
    assert (ordinary.tasks, ordinary.is_limited) == ([], True)
    paused = await look(engine)
    assert (paused.tasks, paused.is_limited, paused.next_due_at) == ([], True, None)
    await limits(engine, is_paused=False)
    assert [each.task_id for each in await factories.claim(engine)] == [task_id]


async def test_no_more_tasks_run_than_the_limit_allows_under_concurrent_claims(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await limits(engine, max_running=5)
    for _ in range(20):
        await factories.create(engine)
    taken = await asyncio.gather(*(look(engine, worker_id=f"worker-{number}") for number in range(8)))
    assert sum(len(claim.tasks) for claim in taken) == 5
    assert all(claim.waits_for_runs for claim in taken)


async def test_a_run_that_ends_lets_the_next_start(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limits(engine, max_running=2)
    for _ in range(5):
        await factories.create(engine)
    first = await look(engine)
    assert len(first.tasks) == 2
    await finish(engine, first.tasks[:1])
    second = await look(engine)
    assert len(second.tasks) == 1
    assert (await look(engine)).tasks == []
    await finish(engine, [*first.tasks[1:], *second.tasks])
    last = await look(engine)
    assert (len(last.tasks), last.waits_for_runs) == (2, True)


async def test_limits_do_not_apply_to_other_queues(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limits(engine, max_running=1)
    for _ in range(3):
        await factories.create(engine, queue="other")
    assert len(await factories.claim(engine, queue="other")) == 3


async def test_a_rate_limit_spends_its_tokens_and_returns_when_the_next_task_may_start(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await limits(engine, max_per_second=0.5)
    for _ in range(3):
        await factories.create(engine)
    first = await look(engine)
    assert len(first.tasks) == 1
    second = await look(engine)
    assert second.tasks == []
    assert second.next_due_at is not None
    assert SECOND < second.next_due_at - second.now <= 2 * SECOND
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE queues SET tokens_at = tokens_at - interval '2 s'"))
    assert len((await look(engine)).tasks) == 1


async def test_one_at_a_time_per_customer(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limits(engine, max_running_per_key=1)
    for key in ("a", "a", "a", "b", None, "b", "c", None):
        await factories.create(engine, concurrency_key=key)
    first = await look(engine)
    assert keys(first) == ["a", "b", None, "c", None]
    assert first.waits_for_runs
    assert (await look(engine)).tasks == []
    await finish(engine, [each for each in first.tasks if each.concurrency_key == "a"])
    assert keys(await look(engine)) == ["a"]


async def test_customers_with_a_backlog_do_not_delay_the_others(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limits(engine, max_running_per_key=2, max_running=6)
    for _ in range(30):
        await factories.create(engine, concurrency_key="busy")
    for key in ("x", "y", "z"):
        await factories.create(engine, concurrency_key=key)
    assert keys(await look(engine, limit=4)) == ["busy", "busy", "x", "y"]
    assert keys(await look(engine, limit=4)) == ["z"]


async def test_a_rate_limit_per_key_counts_each_key_by_itself(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limits(engine, max_per_second_per_key=0.5)
    for key in ("a", "a", "b", "b"):
        await factories.create(engine, concurrency_key=key)
    first = await look(engine)
    assert keys(first) == ["a", "b"]
    await finish(engine, first.tasks)
    second = await look(engine)
    assert second.tasks == []
    assert second.next_due_at is not None
    assert SECOND < second.next_due_at - second.now <= 2 * SECOND
    async with engine.connect() as connection:
        await connection.execute(
            sa.text("UPDATE queue_keys SET tokens_at = tokens_at - interval '2 s' WHERE concurrency_key = 'b'")
        )
    assert keys(await look(engine)) == ["b"]


async def test_full_buckets_of_keys_are_deleted(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limits(engine, max_per_second_per_key=1000)
    await factories.create(engine, concurrency_key="old")
    await look(engine)
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE queue_keys SET tokens_at = tokens_at - interval '2 s'"))
    await factories.create(engine, concurrency_key="new")
    await look(engine)
    async with engine.connect() as connection:
        left = (await connection.execute(sa.text("SELECT concurrency_key FROM queue_keys"))).scalars().all()
    assert left == ["new"]


async def test_quarantined_tasks_of_a_limited_queue_count_too(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limits(engine, max_running=1)
    quarantined, other = await factories.create(engine), await factories.create(engine)
    await rows.change(engine, "lost_leases = 2", quarantined)
    assert await factories.claim_quarantined(engine) == []
    taken = await locked.claim_quarantined(
        engine, queue=task.DEFAULT_QUEUE, level=2, worker_id="worker", limit=9, lease=factories.LEASE
    )
    assert [each.task_id for each in taken] == [quarantined]
    assert (await look(engine)).tasks == []
    await finish(engine, taken)
    assert [each.task_id for each in (await look(engine)).tasks] == [other]


async def test_a_claim_that_hangs_with_the_lock_is_disconnected(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limits(engine, max_running=1)
    await factories.create(engine)
    hung = await engine.execution_options(isolation_level="READ COMMITTED").connect()
    await hung.execute(queue_lock._LOCK, {"queue": task.DEFAULT_QUEUE})
    async with asyncio.timeout(5):
        assert len((await look(engine)).tasks) == 1
    await hung.invalidate()
    await hung.close()


async def test_due_tasks_run_by_priority_and_then_by_time(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    created = {priority: await factories.create(engine, priority=priority) for priority in (3, 0, 9, 5)}
    later = await factories.create(engine, priority=5)
    await factories.create(engine, priority=9, execution_time=datetime.datetime.now(datetime.UTC) + 3600 * SECOND)
    expected = [created[9], created[5], later, created[3], created[0]]
    assert [each.task_id for each in await factories.claim(engine, limit=2)] == expected[:2]
    assert [each.task_id for each in await factories.claim(engine)] == expected[2:]


async def test_a_limited_queue_runs_by_priority_too(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limits(engine, max_running=2)
    created = {priority: await factories.create(engine, priority=priority) for priority in (1, 8, 4)}
    assert [each.task_id for each in (await look(engine)).tasks] == [created[8], created[4]]
