"""Claims and sweeps read on from where the last one ended, past all that finished under an old snapshot."""

import datetime
import functools
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.store.claiming import bounds, fast, locked, rescue
from tests.support import backlogs, factories, plans, rows

FINISHED = 60_000
BATCH = 5_000
_DUE = "now() - interval '1 hour' + n / 50 * interval '1 ms'"
EXPIRED = -datetime.timedelta(minutes=2)
CLAIM = {"queue": task.DEFAULT_QUEUE, "worker_id": "worker", "limit": 100, "lease": factories.LEASE}


def one_full_look() -> Callable[[], float]:
    """Returns a clock by which the first look at everything took so long that no other one is due."""
    return functools.partial(next, itertools.chain([0.0, 0.0], itertools.repeat(1.0)))


@pytest_asyncio.fixture
async def snapshot(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[None]:
    """A transaction that keeps its snapshot, as a backup does."""
    async with engine.connect() as held:
        await held.execution_options(isolation_level="REPEATABLE READ")
        await held.execute(sa.text("SET idle_in_transaction_session_timeout = 0"))
        await held.execute(sa.text("SELECT count(*) FROM queues"))
        yield


@pytest.mark.parametrize("priority", [0, 5])
@pytest.mark.usefixtures("snapshot")
async def test_a_claim_and_a_sweep_read_as_much_after_many_finished_under_an_old_snapshot(
    engine: sqlalchemy_asyncio.AsyncEngine, priority: int
) -> None:
    since, leases = bounds.Bounds(one_full_look()), bounds.LeaseBound(one_full_look())
    async with engine.connect() as connection:
        await backlogs.insert(engine, FINISHED + 1000, execution_time=_DUE, updated_at=_DUE, priority=str(priority))
        await connection.execute(sa.text("ANALYZE"))

        async def drain(count: int) -> None:
            claim = await fast.claim(
                engine, queue=task.DEFAULT_QUEUE, worker_id="worker", limit=count, lease=EXPIRED, since=since
            )
            assert len(claim.tasks) == count
            await rows.end(connection, task.Status.COMPLETED, those=task.Status.RUNNING)
            assert await rescue.reclaim(engine, worker_id="sweeper", since=leases) == []

        async def blocks(claim: bounds.Bounds, sweep: bounds.LeaseBound) -> dict[str, int]:
            with claim.look() as bounded, sweep.look() as of_leases:
                statements: dict[str, tuple[sa.TextClause, dict[str, Any]]] = {
                    "a small claim": (fast._CLAIM, {**CLAIM, **bounded}),
                    "by priority": (fast._CLAIM_BY_PRIORITY, {**CLAIM, **bounded}),
                    "a limited queue": (locked._TASKS.claim, {**CLAIM, **bounded}),
                    "a sweep": (rescue._RECLAIM, {"worker_id": "worker", "limit": 1000, **of_leases}),
                }
                return {
                    name: plans.buffers(await plans.explain(connection, "force_generic_plan", statement, parameters))
                    for name, (statement, parameters) in statements.items()
                }

        await drain(100)
        before = await blocks(since, leases)
        for _ in range(FINISHED // BATCH):
            await drain(BATCH)
        after = await blocks(since, leases)
        since.sweep()
        sweep = await blocks(since, leases)
        unbounded = await blocks(bounds.Bounds(), bounds.LeaseBound())
    for name, count in before.items():
        assert after[name] <= 2 * count + 50, (name, before, after)
        assert sweep[name] <= 2 * count + 50, (name, before, sweep)
    # What a worker reads that has just started shows that the entries are there.
    for name, count in unbounded.items():
        assert count > after[name] + FINISHED / 50, (name, after, unbounded)
