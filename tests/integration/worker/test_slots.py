"""How workers share due tasks: by their slots, their threads, and their pace."""

import asyncio
import collections
import pathlib

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from duetime_client import NewTask
from tests.support import clients, processes

pytestmark = pytest.mark.timeout(120)


async def began(directory: pathlib.Path, task_ids: list[int], count: int) -> collections.Counter[int]:
    """Returns how many of the tasks began in each worker, once so many did."""
    async with asyncio.timeout(60):
        while True:
            pids = [each.pid for each in clients.handler_events(directory, *task_ids) if each.what == "began"]
            if len(pids) >= count:
                return collections.Counter(pids)
            await asyncio.sleep(0.1)


async def busy(client: duetime_client.AsyncClient, task_id: int) -> str:
    """Returns why all workers are busy, once a heartbeat has shown that they are."""
    async with asyncio.timeout(60):
        while True:
            reasons = (await client.explain(task_id)).reasons
            if found := [each.message for each in reasons if each.code == "WORKERS_BUSY"]:
                return found[0]
            await asyncio.sleep(0.2)


async def test_a_worker_never_holds_plain_functions_that_wait_for_a_thread(
    client: duetime_client.AsyncClient, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    first = await start.worker(concurrency=50, threads=3)
    task_ids = await client.create_many(NewTask("block", clients.NOW, {"seconds": 3600}) for _ in range(6))
    await began(tmp_path, task_ids, 3)
    # All threads of the first are busy, so it claims not even a coroutine.
    task_ids.append(await client.create("sleep", clients.NOW, {"seconds": 3600}))
    assert "3 of 50 slots of worker" in await busy(client, task_ids[-1])
    second = await start.worker(concurrency=50, threads=7)
    assert await began(tmp_path, task_ids, 7) == {first.pid: 3, second.pid: 4}


async def test_a_worker_runs_a_thousand_coroutines_at_once_by_default_and_releases_them_when_it_stops(
    client: duetime_client.AsyncClient,
    start: processes.Starter,
    engine: sqlalchemy_asyncio.AsyncEngine,
    tmp_path: pathlib.Path,
) -> None:
    worker = await start.worker(grace_period="PT0S")
    task_ids = await client.create_many(
        NewTask("sleep", clients.NOW, {"seconds": 3600}, max_retries=0) for _ in range(1_001)
    )
    assert await began(tmp_path, task_ids, 1_000) == {worker.pid: 1_000}
    worker.terminate()
    assert await worker.ended() == 0
    async with engine.connect() as connection:
        pending = "SELECT count(*) FROM waiting JOIN tasks USING (task_id) WHERE retry_count = 0"
        assert await connection.scalar(sa.text(pending)) == 1_001


async def test_two_workers_share_fewer_due_tasks_than_one_has_slots(
    client: duetime_client.AsyncClient, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    workers = await asyncio.gather(*(start.worker(concurrency=1_000, threads=1_000) for _ in range(2)))
    task_ids = await client.create_many(NewTask("compute", clients.NOW) for _ in range(400))
    shares = await began(tmp_path, task_ids, 400)
    assert all(shares[worker.pid] >= 50 for worker in workers)
