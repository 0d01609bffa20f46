"""Claims and sweeps read on from where the last one ended, past all that finished under an old snapshot."""

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.store import leases, leftovers
from duetime_core.store.claiming import bounds, fast, floors, key_limits, locked, queue_lock, rescue
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.queues import read as queue_read
from duetime_core.store.tasks import explain
from tests.support import backlogs, factories, plans, rows

FINISHED = 60_000
BATCH = 5_000
_DUE = "now() - interval '1 hour' + n / 50 * interval '1 ms'"
CLAIM = {"queue": task.DEFAULT_QUEUE, "worker_id": "worker", "limit": 100, "lease": factories.LEASE}


async def drain(engine: sqlalchemy_asyncio.AsyncEngine, count: int, since: bounds.Bounds) -> None:
    """Claims and ends that many tasks."""
    claim = await fast.claim(
        engine, queue=task.DEFAULT_QUEUE, worker_id="worker", limit=count, lease=factories.LEASE, since=since
    )
    assert len(claim.tasks) == count
    await rows.end(engine, task.Status.COMPLETED, those=task.Status.RUNNING)
    assert await rescue.reclaim(engine, worker_id="sweeper") == []


async def of_claims(engine: sqlalchemy_asyncio.AsyncEngine, since: bounds.Bounds) -> dict[str, int]:
    with since.look() as bounded:
        return await plans.blocks(
            engine,
            {
                "a small claim": (fast._CLAIM, {**CLAIM, **bounded}),
                "by priority": (fast._CLAIM_BY_PRIORITY, {**CLAIM, **bounded}),
                "a limited queue": (locked._TASKS.claim, {**CLAIM, **bounded}),
                "a sweep": (rescue._RECLAIM, {"worker_id": "worker", "limit": rescue.BATCH, "before": None}),
            },
        )


async def of_others(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> dict[str, int]:
    return await plans.blocks(
        engine,
        {
            "a count of running tasks": (queue_lock._COUNT, {"queue": task.DEFAULT_QUEUE}),
            "a queue": (queue_read._GET, {"queue": task.DEFAULT_QUEUE}),
            "a page of queues": (queue_read._LIST, {"after": "", "limit": 51}),
            "names of queues": (queue_read._NAMES, {"after": "", "limit": 1000}),
            "an explanation": (explain._READ, {"task_id": task_id}),
        },
    )


async def fill(engine: sqlalchemy_asyncio.AsyncEngine, priority: int) -> None:
    await backlogs.insert(engine, FINISHED + 1000, execution_time=_DUE, updated_at=_DUE, priority=str(priority))
    async with engine.connect() as connection:
        await connection.execute(sa.text("ANALYZE"))


@pytest.mark.parametrize("priority", [0, 5])
@pytest.mark.usefixtures("held_snapshot")
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
@pytest.mark.usefixtures("held_snapshot")
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


async def claim_by_key(engine: sqlalchemy_asyncio.AsyncEngine, limit: int, since: bounds.Bounds) -> list[int]:
    claim = await locked.claim(
        engine, queue=task.DEFAULT_QUEUE, worker_id="worker", limit=limit, lease=factories.LEASE, since=since
    )
    return [each.task_id for each in claim.tasks]


@pytest.mark.parametrize("priority", [0, 5])
@pytest.mark.usefixtures("held_snapshot")
async def test_limits_per_key_read_as_much_after_many_finished_under_an_old_snapshot(
    engine: sqlalchemy_asyncio.AsyncEngine, priority: int
) -> None:
    finished, keys, batch = 10_000, [f"key {number}" for number in range(100)], 200
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running_per_key": 2}, is_new=True, actor="api")
    given = {"execution_time": _DUE, "updated_at": _DUE, "priority": str(priority)}
    await backlogs.insert(engine, finished + batch, **given, concurrency_key="'key ' || n % 100")
    async with engine.connect() as connection:
        await connection.execute(sa.text("ANALYZE"))
    since = bounds.Bounds()

    async def drain_by_key() -> None:
        assert len(await claim_by_key(engine, batch, since)) == batch
        await rows.end(engine, task.Status.COMPLETED, those=task.Status.RUNNING)
        assert since.of_keys is not None
        since.of_keys.ended.update(keys)

    async def looks() -> dict[str, int]:
        assert since.of_keys is not None
        since.of_keys._noted_at = float("-inf")
        await floors.note(engine, task.DEFAULT_QUEUE, since)
        started = bounds.Bounds()
        await floors.begin(engine, task.DEFAULT_QUEUE, started)
        new = started.use_keys(datetime.datetime.now(datetime.UTC))
        assert new.old is not None
        queue = {"queue": task.DEFAULT_QUEUE}
        found: dict[str, tuple[sa.TextClause, dict[str, Any]]] = {}
        for name, floor in (("of a worker", since.of_keys.floor), ("of a new one", new.floor)):
            places = {"keys": keys, "places": [2] * len(keys), "limit": 0, "floor": floor}
            found[f"first tasks {name}"] = (key_limits._FIRST, {**queue, **places})
        found["a look at all"] = (key_limits._SCAN, {**queue, "limit": 500, **new.old.parameters})
        found["a queue"] = (queue_read._GET, queue)
        return await plans.blocks(engine, found)

    await drain_by_key()
    before = await looks()
    for _ in range(finished // batch):
        await drain_by_key()
    after = await looks()
    for name, count in before.items():
        assert after[name] <= 2 * count + 50, (name, before, after)


@pytest.mark.usefixtures("held_snapshot")
async def test_a_look_at_all_keys_that_takes_too_long_delays_no_claim(
    engine: sqlalchemy_asyncio.AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running_per_key": 1}, is_new=True, actor="api")
    await backlogs.insert(engine, 20_000, execution_time=_DUE, updated_at=_DUE, concurrency_key="'key ' || n")
    async with engine.connect() as connection:
        await connection.execute(sa.text("DELETE FROM waiting"))
    shortest = key_limits._LIMIT_TIME.text.replace(f"{leftovers.Left.SLOWEST} s", "1 ms")
    monkeypatch.setattr(key_limits, "_LIMIT_TIME", sa.text(shortest))
    created = await factories.create(engine, concurrency_key="key")
    since = bounds.Bounds()
    assert await claim_by_key(engine, 10, since) == [created]
    assert since.of_keys is not None
    assert since.of_keys.after_key is None


@pytest.mark.usefixtures("held_snapshot")
async def test_sweeps_and_extensions_read_as_much_after_many_claims_under_an_old_snapshot(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    async def claims_end(count: int) -> dict[str, int]:
        async with engine.connect() as connection:
            for statement in (
                "INSERT INTO leases (worker_id, queue, started_at, expires_at, task_ids, versions) "
                "SELECT 'worker', 'default', now(), now() - interval '1 hour', ARRAY[0, n], ARRAY[1, 1] "
                f"FROM generate_series(1, {count}) AS n",
                "DELETE FROM leases WHERE cardinality(task_ids) = 2",
                "INSERT INTO leases (worker_id, queue, started_at, expires_at, task_ids, versions) "
                "SELECT 'another', 'default', now(), now() + interval '1 hour', ARRAY[0], ARRAY[1] "
                "FROM generate_series(1, 5)",
                "UPDATE lease_floor SET expires_at = now() - interval '1 minute'",
                "ANALYZE leases",
            ):
                await connection.execute(sa.text(statement))
        extension = {"lease_ids": [1], "worker_id": "worker", "lease": factories.LEASE}
        release = {"worker_id": "worker", "queue": "default", "held": [0], "claimed_before": "now"}
        return await plans.blocks(
            engine,
            {
                "a sweep": (rescue._RECLAIM, {"worker_id": "worker", "limit": rescue.BATCH, "before": None}),
                "an extension": (leases._EXTEND, extension),
                "a release": (rescue._RELEASE, release),
            },
        )

    before = await claims_end(5_000)
    after = await claims_end(20_000)
    for name, count in before.items():
        assert after[name] <= 2 * count + 50, (name, before, after)
