"""Claims and sweeps read on from where the last one ended, past all that finished under an old snapshot."""

import datetime
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.store.claiming import bounds, fast, floors, locked, queue_lock, rescue
from duetime_core.store.queues import read as queue_read
from duetime_core.store.tasks import explain
from tests.support import backlogs, factories, plans, rows

FINISHED = 60_000
BATCH = 5_000
_DUE = "now() - interval '1 hour' + n / 50 * interval '1 ms'"
CLAIM = {"queue": task.DEFAULT_QUEUE, "worker_id": "worker", "limit": 100, "lease": factories.LEASE}


@pytest_asyncio.fixture
async def snapshot(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[None]:
    """A transaction that keeps its snapshot, as a backup does."""
    async with engine.connect() as held:
        await held.execution_options(isolation_level="REPEATABLE READ")
        await held.execute(sa.text("SET idle_in_transaction_session_timeout = 0"))
        await held.execute(sa.text("SELECT count(*) FROM queues"))
        yield


async def drain(engine: sqlalchemy_asyncio.AsyncEngine, count: int, since: bounds.Bounds) -> None:
    """Claims and ends that many tasks."""
    claim = await fast.claim(
        engine, queue=task.DEFAULT_QUEUE, worker_id="worker", limit=count, lease=factories.LEASE, since=since
    )
    assert len(claim.tasks) == count
    await rows.end(engine, task.Status.COMPLETED, those=task.Status.RUNNING)
    assert await rescue.reclaim(engine, worker_id="sweeper") == []


async def blocks(
    engine: sqlalchemy_asyncio.AsyncEngine, statements: dict[str, tuple[sa.TextClause, dict[str, Any]]]
) -> dict[str, int]:
    """Returns how many blocks each of the statements touches."""
    async with engine.connect() as connection:
        return {
            name: plans.buffers(await plans.explain(connection, "force_generic_plan", statement, parameters))
            for name, (statement, parameters) in statements.items()
        }


async def of_claims(engine: sqlalchemy_asyncio.AsyncEngine, since: bounds.Bounds) -> dict[str, int]:
    with since.look() as bounded:
        return await blocks(
            engine,
            {
                "a small claim": (fast._CLAIM, {**CLAIM, **bounded}),
                "by priority": (fast._CLAIM_BY_PRIORITY, {**CLAIM, **bounded}),
                "a limited queue": (locked._TASKS.claim, {**CLAIM, **bounded}),
                "a sweep": (rescue._RECLAIM, {"worker_id": "worker", "limit": rescue.BATCH, "before": None}),
            },
        )


async def of_others(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> dict[str, int]:
    return await blocks(
        engine,
        {
            "a count of running tasks": (queue_lock._COUNT, {"queue": task.DEFAULT_QUEUE}),
            "a queue": (queue_read._GET, {"queue": task.DEFAULT_QUEUE}),
            "an explanation": (explain._READ, {"task_id": task_id}),
        },
    )


async def fill(engine: sqlalchemy_asyncio.AsyncEngine, priority: int) -> None:
    await backlogs.insert(engine, FINISHED + 1000, execution_time=_DUE, updated_at=_DUE, priority=str(priority))
    async with engine.connect() as connection:
        await connection.execute(sa.text("ANALYZE"))


@pytest.mark.parametrize("priority", [0, 5])
@pytest.mark.usefixtures("snapshot")
async def test_a_claim_and_a_sweep_read_as_much_after_many_finished_under_an_old_snapshot(
    engine: sqlalchemy_asyncio.AsyncEngine, priority: int
) -> None:
    since = bounds.Bounds()
    await fill(engine, priority)
    await drain(engine, 100, since)
    before = await of_claims(engine, since)
    for _ in range(FINISHED // BATCH):
        await drain(engine, BATCH, since)
    after = await of_claims(engine, since)
    since.sweep()
    sweep = await of_claims(engine, since)
    unbounded = await of_claims(engine, bounds.Bounds())
    for name, count in before.items():
        assert after[name] <= 2 * count + 50, (name, before, after)
        assert sweep[name] <= 2 * count + 50, (name, before, sweep)
    # What is read without bounds shows that the entries are there.
    for name in ("a small claim", "by priority", "a limited queue"):
        assert unbounded[name] > after[name] + FINISHED / 100, (name, after, unbounded)


@pytest.mark.parametrize("priority", [0, 5])
@pytest.mark.usefixtures("snapshot")
async def test_a_new_worker_and_counts_read_as_much_after_many_finished_under_an_old_snapshot(
    engine: sqlalchemy_asyncio.AsyncEngine, priority: int
) -> None:
    clock = [0.0]
    since = bounds.Bounds(lambda: clock[0])
    await fill(engine, priority)
    await drain(engine, 100, since)
    later = await factories.create(engine, execution_time=datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC))

    async def looks() -> dict[str, int]:
        clock[0] += 60
        await floors.note(engine, task.DEFAULT_QUEUE, since)
        started = bounds.Bounds()
        await floors.begin(engine, task.DEFAULT_QUEUE, started)
        return {**await of_claims(engine, started), **await of_others(engine, later)}

    before = await looks()
    for _ in range(FINISHED // BATCH):
        await drain(engine, BATCH, since)
    after = await looks()
    for name, count in before.items():
        assert after[name] <= 2 * count + 50, (name, before, after)
