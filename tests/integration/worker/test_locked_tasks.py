"""A session that locks the row of one running task: it delays no other task, and costs no lease, not even its own."""

import asyncio
import datetime

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from duetime_client import NewTask, Status
from tests.support import clients, processes, rows

pytestmark = pytest.mark.timeout(90)

LEASE = datetime.timedelta(seconds=4)
_EXTENDED = "task_id = :task_id AND lease_expires_at > CAST(:first AS timestamptz) AND clock_timestamp() > :first"


async def outlasted(connection: sqlalchemy_asyncio.AsyncConnection, task_id: int) -> None:
    """Waits until the lease that a locked task had is over, and was extended meanwhile."""
    ((first,),) = await rows.read(connection, "lease_expires_at", "task_id = :task_id", task_id=task_id)
    async with asyncio.timeout(30):
        while not await rows.count(connection, _EXTENDED, task_id=task_id, first=first):  # noqa: ASYNC110 - no signal
            await asyncio.sleep(0.1)


async def test_a_locked_task_costs_no_other_task_its_lease_and_keeps_its_own(
    client: duetime_client.AsyncClient, start: processes.Starter, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    lease = f"PT{LEASE.total_seconds():g}S"
    worker = await start.worker(lease=lease)
    task_ids = await client.create_many(NewTask("sleep", clients.NOW, {"seconds": 20}, max_retries=0) for _ in range(5))
    for task_id in task_ids:
        await clients.reached(client, task_id, "started")
    others = [await start.worker(lease=lease, queues="another") for _ in range(2)]  # their sweeps reclaim
    async with rows.locked(engine, task_ids[0], task_ids[1]) as holder:
        await outlasted(holder, task_ids[0])
    for task_id in task_ids:
        await clients.finished(client, task_id)
        assert await clients.changes(client, task_id) == ["created", "started", "completed"]
    for each in (worker, *others):
        assert not any("reclaimed" in line for line in each.log)


async def test_a_locked_task_delays_no_outcome_but_its_own(
    client: duetime_client.AsyncClient, start: processes.Starter, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    await start.worker()
    held = await client.create("sleep", clients.NOW, {"seconds": 1})
    await clients.reached(client, held, "started")
    async with rows.locked(engine, held) as holder:
        await asyncio.sleep(1.5)  # it ends, and its outcome is passed over
        for _ in range(3):
            other = await client.create("noop", clients.NOW)
            # A statement that waits for the lock takes 8 s.
            assert (await clients.finished(client, other, seconds=7)).status is Status.COMPLETED
        assert await rows.ids(holder, "status = 'running'") == [held]
    assert (await clients.finished(client, held)).status is Status.COMPLETED


async def test_a_locked_task_that_its_holder_cancels_is_cancelled_here_too(
    client: duetime_client.AsyncClient, start: processes.Starter, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    lease = f"PT{LEASE.total_seconds():g}S"
    worker = await start.worker(lease=lease, concurrency=1)
    held = await client.create("sleep", clients.NOW, {"seconds": 3600})
    await clients.reached(client, held, "started")
    async with rows.locked(engine, held) as holder:
        await outlasted(holder, held)
    await client.cancel(held)
    other = await client.create("noop", clients.NOW)  # once the slot is free
    assert (await clients.finished(client, other)).status is Status.COMPLETED
    assert worker.process.returncode is None
