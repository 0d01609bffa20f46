"""Claims that wait for a lock: their times are those of when they had it, not of when they began."""

import asyncio
import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.claiming import fast, locked
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.tasks import read as task_read
from tests.support import factories

_WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
_NOW = sa.text("SELECT clock_timestamp()")


async def waits(connection: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Waits until another session waits for a lock."""
    async with asyncio.timeout(10):
        while not await connection.scalar(_WAITING):  # noqa: ASYNC110 - the database signals nothing
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("module", "lock"),
    [
        (locked, "SELECT FROM queues FOR UPDATE"),
        (locked, "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"),
        (fast, "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"),
    ],
    ids=["the queue's", "the table's", "the table's, unlimited"],
)
async def test_a_lease_counts_from_when_the_claim_had_its_last_lock(
    engine: sqlalchemy_asyncio.AsyncEngine, module: Any, lock: str
) -> None:
    task_id = await factories.create(engine)
    if module is locked:
        await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running": 1}, is_new=True, actor="api")
    async with engine.connect() as other:
        async with database.transaction(engine) as holder:
            await holder.execute(sa.text(lock))
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


async def test_a_task_that_fell_due_while_the_claim_waited_for_its_queue_is_claimed(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running": 1}, is_new=True, actor="api")
    async with engine.connect() as other:
        async with database.transaction(engine) as holder:
            await holder.execute(sa.text("SELECT FROM queues FOR UPDATE"))
            claiming = asyncio.create_task(factories.claim_locked(engine))
            await waits(other)
            task_id = await factories.create(engine)
        assert [each.task_id for each in (await claiming).tasks] == [task_id]
