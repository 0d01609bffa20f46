"""Runs are counted per key by the keys beside their leases, whatever happens to a lease."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.store import leases
from duetime_core.store.claiming import rescue
from duetime_core.store.queues import limit as queue_limit
from tests.integration.store.claiming import test_limits
from tests.support import factories, rows

KEYS = ["a", "b", "c", "d", "e"]


async def limit(engine: sqlalchemy_asyncio.AsyncEngine, most: int = 1) -> None:
    changes = {"max_running_per_key": most}
    await queue_limit.update(engine, task.DEFAULT_QUEUE, changes, is_new=True, actor="api")


async def create(engine: sqlalchemy_asyncio.AsyncEngine, keys: Sequence[str | None]) -> None:
    for key in keys:
        await factories.create(engine, concurrency_key=key)


async def claim(engine: sqlalchemy_asyncio.AsyncEngine) -> list[task.Task]:
    return (await test_limits.look(engine)).tasks


async def started(engine: sqlalchemy_asyncio.AsyncEngine) -> list[str | None]:
    """Claims, and returns the keys of what it claimed."""
    return [each.concurrency_key for each in await claim(engine)]


async def beside_leases(engine: sqlalchemy_asyncio.AsyncEngine) -> dict[int, str | None]:
    """Returns the key that leases have beside each task."""
    statement = sa.text("SELECT of.* FROM leases, unnest(task_ids, concurrency_keys) AS of (task_id, key)")
    async with engine.connect() as connection:
        return {row.task_id: row.key for row in await connection.execute(statement)}


async def test_a_claim_within_limits_per_key_notes_the_key_of_each_task(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await limit(engine)
    await create(engine, ["a", None, "b"])
    runs = await claim(engine)
    assert len(runs) == 3
    assert await beside_leases(engine) == {run.task_id: run.concurrency_key or "" for run in runs}


async def test_the_keys_of_a_lease_are_cut_with_its_tasks_when_it_is_extended(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await limit(engine)
    await create(engine, KEYS)
    runs = {run.concurrency_key: run for run in await claim(engine)}
    await test_limits.finish(engine, [runs[key] for key in "acd"])
    lease_ids = {run.lease_id for run in runs.values() if run.lease_id is not None}
    await leases.extend(engine, lease_ids, worker_id="worker", lease=factories.LEASE)
    assert await beside_leases(engine) == {runs[key].task_id: key for key in "be"}
    await create(engine, KEYS)
    assert sorted(map(str, await started(engine))) == ["a", "c", "d"]


async def test_the_keys_of_a_lease_are_cut_with_its_tasks_when_it_is_reclaimed(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await limit(engine)
    await create(engine, KEYS)
    runs = {run.concurrency_key: run for run in await claim(engine)}
    await rows.expire_leases(engine)
    kept = runs["d"].task_id
    async with rows.locked(engine, kept):
        assert len(await rescue.reclaim(engine, worker_id="sweeper")) == 4
    assert await beside_leases(engine) == {kept: "d"}
    await create(engine, ["d"])
    assert sorted(map(str, await started(engine))) == ["a", "b", "c", "e"]


async def test_runs_that_were_claimed_before_the_queue_had_limits_per_key_count(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await create(engine, ["a", "b", None])
    runs = await factories.claim(engine)
    assert set((await beside_leases(engine)).values()) == {None}
    await limit(engine)
    await create(engine, ["a", "b", "c", None])
    assert sorted(map(str, await started(engine))) == ["None", "c"]
    await test_limits.finish(engine, [run for run in runs if run.concurrency_key == "b"])
    assert await started(engine) == ["b"]
