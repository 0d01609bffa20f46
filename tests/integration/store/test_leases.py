"""Leases are extended together, and only by the worker that still holds their tasks."""

import asyncio
import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store import leases as task_leases
from duetime_core.store.claiming import rescue
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from tests.support import factories


async def extend(
    engine: sqlalchemy_asyncio.AsyncEngine, *runs: task.Task, worker_id: str = "worker"
) -> tuple[dict[int, list[int]], set[int]]:
    """Extends the leases of those runs; returns the tasks that are still held by lease, and the leases passed over."""
    leases = {run.lease_id for run in runs if run.lease_id is not None}
    return await task_leases.extend(engine, leases, worker_id=worker_id, lease=2 * factories.LEASE)


@pytest.mark.parametrize("fence", ["another worker", "cancelled", "lost"])
async def test_an_extension_returns_no_task_that_is_no_longer_held(
    engine: sqlalchemy_asyncio.AsyncEngine, fence: str
) -> None:
    await factories.create(engine)
    (run,) = await factories.claim(engine, lease=datetime.timedelta(0) if fence == "lost" else factories.LEASE)
    match fence:
        case "cancelled":
            await task_edit.cancel(engine, run.task_id, actor="api")
        case "lost":
            await rescue.reclaim(engine, worker_id="sweeper")
    extended, locked = await extend(engine, run, worker_id="other" if fence == "another worker" else "worker")
    assert extended.get(run.lease_id or 0, []) == []
    assert locked == set()


async def test_an_extension_moves_the_lease_and_nothing_else(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    (run,) = await factories.claimed(engine)
    assert await extend(engine, run) == ({run.lease_id: [run.task_id]}, set())
    found = await task_read.get(engine, run.task_id)
    assert found.lease_expires_at is not None
    assert run.lease_expires_at is not None
    assert found.lease_expires_at > run.lease_expires_at
    assert found.version == run.version
    assert await factories.history(engine, run.task_id) == ["created"]


async def test_an_extension_passes_over_a_locked_lease_and_it_counts_as_held(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    (locked,), (free,) = await factories.claimed(engine), await factories.claimed(engine)
    assert locked.lease_id is not None
    async with database.transaction(engine) as connection, asyncio.timeout(5):
        await connection.execute(sa.text(f"SELECT FROM leases WHERE lease_id = {locked.lease_id} FOR UPDATE"))
        assert await extend(engine, locked, free) == ({free.lease_id: [free.task_id]}, {locked.lease_id})
    assert await extend(engine, locked) == ({locked.lease_id: [locked.task_id]}, set())


async def test_a_lease_is_extended_without_the_tasks_that_ended_once_they_are_most(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    runs = await factories.claimed(engine, 5)
    await task_outcomes.record(engine, [factories.outcome(run) for run in runs[:3]], worker_id="worker")
    assert await extend(engine, *runs) == ({runs[0].lease_id: [run.task_id for run in runs[3:]]}, set())
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SELECT task_ids FROM leases")) == [run.task_id for run in runs[3:]]
