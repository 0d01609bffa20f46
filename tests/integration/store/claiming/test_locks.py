"""Claims that wait for a lock: their times are those of when they had it, not of when they began."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database
from duetime_core.store.claiming import fast, locked
from duetime_core.store.queues import earlier_claims
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.tasks import read as task_read
from tests.support import factories, rows

_WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
_NOW = sa.text("SELECT clock_timestamp()")


async def waits(connection: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Waits until another session waits for a lock."""
    async with asyncio.timeout(10):
        while not await connection.scalar(_WAITING):  # noqa: ASYNC110 - the database signals nothing
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("module", [locked, fast], ids=["limited", "unlimited"])
async def test_a_lease_counts_from_when_the_claim_had_its_last_lock(
    engine: sqlalchemy_asyncio.AsyncEngine, module: Any
) -> None:
    task_id = await factories.create(engine)
    if module is locked:
        await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running": 1}, is_new=True, actor="api")
    async with engine.connect() as other:
        async with database.transaction(engine) as holder:
            await holder.execute(sa.text(rows.lock_all()))
            claiming = asyncio.create_task(
                module.claim(
                    engine, queue=task.DEFAULT_QUEUE, worker_id="worker", limit=9, lease=datetime.timedelta(seconds=4)
                )
            )
            await waits(other)
            released_at = await other.scalar(_NOW)
        claim = await claiming
    (claimed,) = claim.tasks
    started = (await task_read.list_logs(engine, task_id, after_version=1, limit=1))[0].timestamp
    assert claimed.executed_at == claimed.updated_at == started > released_at
    assert claimed.lease_expires_at == started + datetime.timedelta(seconds=4)
    stored = await task_read.get(engine, task_id)
    assert (stored.executed_at, stored.updated_at) == (started, started)
    assert stored.lease_expires_at == claimed.lease_expires_at


async def test_a_claim_does_not_wait_for_a_locked_queue(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running": 1}, is_new=True, actor="api")
    task_id = await factories.create(engine)
    async with database.transaction(engine) as holder:
        await holder.execute(sa.text("SELECT FROM queues FOR UPDATE"))
        async with asyncio.timeout(5):
            with pytest.raises(errors.QueueBusy):
                await factories.claim_locked(engine)
    assert [each.task_id for each in (await factories.claim_locked(engine)).tasks] == [task_id]


_SLOW_CLAIMS = (
    """CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'""",
    "CREATE TRIGGER wait AFTER UPDATE ON tasks FOR EACH STATEMENT EXECUTE FUNCTION wait()",
)
Claim = Callable[[sqlalchemy_asyncio.AsyncEngine], Awaitable[Any]]
CLAIMS: dict[str, Claim] = {
    "ordinary": lambda engine: factories.claim(engine),
    "cheap": lambda engine: fast.claim(
        engine, queue=task.DEFAULT_QUEUE, worker_id="worker", limit=9, lease=factories.LEASE, by_priority=False
    ),
    "locked": lambda engine: factories.claim_locked(engine),
    "quarantined": lambda engine: factories.claim_quarantined(engine),
}


async def slowed(engine: sqlalchemy_asyncio.AsyncEngine, *, lost_leases: int = 0) -> None:
    """Creates a due task, and has all claims wait for the advisory lock 1."""
    await factories.create(engine)
    await rows.change(engine, f"lost_leases = {lost_leases}")
    async with engine.connect() as connection:
        for statement in _SLOW_CLAIMS:
            await connection.execute(sa.text(statement))


async def is_committed(connection: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Waits until the queue's limits are committed."""
    async with asyncio.timeout(10):
        while not await connection.scalar(sa.text("SELECT count(*) FROM queues")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", CLAIMS)
@pytest.mark.parametrize("change", [{"is_paused": True}, {"max_running": 1}], ids=["pause", "limit"])
async def test_a_pause_or_limit_is_answered_after_the_claims_before_it(
    engine: sqlalchemy_asyncio.AsyncEngine, kind: str, change: dict[str, Any]
) -> None:
    await slowed(engine, lost_leases=2 if kind == "quarantined" else 0)
    ended: list[str] = []

    async def record(what: str, waited: Awaitable[Any]) -> Any:
        result = await waited
        ended.append(what)
        return result

    async with engine.connect() as other:
        async with database.transaction(engine) as holder:
            await holder.execute(sa.text("SELECT pg_advisory_xact_lock(1)"))
            claiming = asyncio.create_task(record("claim", CLAIMS[kind](engine)))
            await waits(other)
            updating = asyncio.create_task(
                record("answer", queue_limit.update(engine, task.DEFAULT_QUEUE, change, is_new=True, actor="api"))
            )
            await is_committed(other)
            await asyncio.wait([updating], timeout=0.3)
            assert ended == []
        await asyncio.gather(claiming, updating)
    assert ended == ["claim", "answer"]
    assert await rows.count(engine, "status = 'running'") == 1


async def test_a_pause_whose_earlier_claims_hang_reports_it_and_may_be_repeated(
    engine: sqlalchemy_asyncio.AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier_claims, "MOST_SECONDS", 0.1)
    await slowed(engine)

    async def pause() -> None:
        await queue_limit.update(engine, task.DEFAULT_QUEUE, {"is_paused": True}, is_new=True, actor="api")

    async with engine.connect() as other:
        async with database.transaction(engine) as holder:
            await holder.execute(sa.text("SELECT pg_advisory_xact_lock(1)"))
            claiming = asyncio.create_task(factories.claim(engine))
            await waits(other)
            for _ in range(2):
                with pytest.raises(errors.StoreUnavailable, match="was changed, but claims from before the change"):
                    await pause()
        await claiming
        await pause()
    assert len(await queue_limit.list_logs(engine, task.DEFAULT_QUEUE, after=0, limit=9)) == 1
