"""Workers send heartbeats while they are alive."""

import asyncio
import datetime

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import worker
from duetime_core.store.queues import read as queue_read
from duetime_core.store.queues import workers
from tests.support import factories, processes


def beat(worker_id: str) -> worker.Heartbeat:
    return worker.Heartbeat(worker_id, ["default"], ["noop"], 100, 3, {"default": 2.5})


async def listed(engine: sqlalchemy_asyncio.AsyncEngine) -> list[worker.Worker]:
    return await workers.list_workers(engine, after="", limit=10)


async def age(engine: sqlalchemy_asyncio.AsyncEngine, span: str) -> None:
    async with engine.connect() as connection:
        await connection.execute(
            sa.text(f"UPDATE workers SET last_heartbeat_at = last_heartbeat_at - interval '{span}'")
        )


async def test_a_worker_is_listed_with_its_queues_and_handlers_until_it_stops(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter
) -> None:
    running = await start.worker(queues="a,b", concurrency=7)
    async with asyncio.timeout(10):
        while not (alive := await listed(engine)):  # noqa: ASYNC110 - the database signals nothing
            await asyncio.sleep(0.05)
    (found,) = alive
    assert (found.queues, found.concurrency, found.running, found.is_alive) == (["a", "b"], 7, 0, True)
    assert {"noop", "Send Email"} <= set(found.handlers)
    assert str(running.pid) in found.worker_id
    running.terminate()
    assert await running.ended() == 0
    assert await listed(engine) == []


async def test_a_worker_without_a_recent_heartbeat_counts_as_dead(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await workers.heartbeat(engine, beat("worker-1"))
    await age(engine, "16 s")
    (found,) = await listed(engine)
    assert not found.is_alive
    await workers.heartbeat(engine, beat("worker-1"))
    (found,) = await listed(engine)
    assert found.is_alive
    assert found.last_heartbeat_at - found.started_at < datetime.timedelta(minutes=1)


async def test_a_worker_that_is_long_dead_is_deleted(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await workers.heartbeat(engine, beat("worker-1"))
    await age(engine, "2 hours")
    assert await listed(engine) == []
    await workers.heartbeat(engine, beat("worker-2"))
    async with engine.connect() as connection:
        left = (await connection.execute(sa.text("SELECT worker_id FROM workers"))).scalars().all()
    assert left == ["worker-2"]


async def test_a_queue_has_the_count_and_rate_of_its_workers(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    for number in range(2):
        await workers.heartbeat(engine, beat(f"worker-{number}"))
    await factories.create(engine)
    found = await queue_read.get(engine, "default")
    assert (found.workers, found.rate, found.depth) == (2, 5.0, 1)
    await age(engine, "16 s")
    found = await queue_read.get(engine, "default")
    assert (found.workers, found.rate) == (0, 0.0)


async def test_workers_are_listed_a_page_at_a_time(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    names = [f"worker-{number}" for number in range(5)]
    for name in reversed(names):
        await workers.heartbeat(engine, beat(name))
    pages = [await workers.list_workers(engine, after=after, limit=2) for after in ("", names[1], names[3], names[4])]
    assert [[each.worker_id for each in page] for page in pages] == [names[:2], names[2:4], names[4:], []]
