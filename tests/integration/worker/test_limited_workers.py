"""Limits under several workers, checked by the file to which the handlers append."""

import asyncio
import collections
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.tasks import create as task_create
from tests.support import clients, factories, processes, rows

WORKERS = 3


async def given(engine: sqlalchemy_asyncio.AsyncEngine, keys: Sequence[str | None], **limits: Any) -> list[int]:
    """Creates a due task for each key, in a limited queue."""
    await queue_limit.update(engine, task.DEFAULT_QUEUE, limits, is_new=True, actor="api")
    news = [factories.new_task(name="moment", concurrency_key=key) for key in keys]
    return [each.task_id for each in await task_create.create_all(engine, news, actor="api")]


async def all_ended(engine: sqlalchemy_asyncio.AsyncEngine, count: int, *, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds), engine.connect() as connection:
        while await rows.count(connection, "status = 'completed'") < count:  # noqa: ASYNC110 - the database signals nothing
            await asyncio.sleep(0.05)


def most_at_once(events: Sequence[clients.HandlerEvent]) -> int:
    running, most = 0, 0
    for each in events:
        running += 1 if each.what.startswith("began") else -1
        most = max(most, running)
    return most


@pytest.mark.parametrize(("concurrency", "limit"), [(1, 2), (2, 5), (100, 5)])
async def test_three_workers_together_never_run_more_than_the_limit(
    engine: sqlalchemy_asyncio.AsyncEngine,
    start: processes.Starter,
    tmp_path: pathlib.Path,
    concurrency: int,
    limit: int,
) -> None:
    count = 600
    task_ids = await given(engine, [None] * count, max_running=limit)
    await asyncio.gather(*(start.worker(concurrency=concurrency) for _ in range(WORKERS)))
    await all_ended(engine, count)
    events = clients.handler_events(tmp_path, *task_ids)
    assert len(events) == 2 * count
    most = most_at_once(events)
    assert most <= limit
    # One worker can use the whole limit; several have to run at the same time, which a busy machine may not allow.
    assert most == limit or concurrency < limit


async def test_a_dead_worker_holds_no_slots_of_the_limit(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    doomed, _ = await asyncio.gather(start.worker(lease="PT4S"), start.worker())
    task_ids = await given(engine, [None] * 400, max_running=4)
    await all_ended(engine, 50)
    await doomed.kill()
    await all_ended(engine, 400)
    began = collections.Counter(
        each.task_id for each in clients.handler_events(tmp_path, *task_ids) if "began" in each.what
    )
    assert began.keys() == set(task_ids)
    assert began.total() <= 400 + 4


async def test_one_task_per_customer_runs_at_once_over_all_workers(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    keys = [f"customer-{number % 7}" for number in range(210)]
    task_ids = await given(engine, keys, max_running_per_key=1)
    await asyncio.gather(*(start.worker() for _ in range(WORKERS)))
    await all_ended(engine, len(keys))
    events = clients.handler_events(tmp_path, *task_ids)
    for customer in set(keys):
        its_own = {task_id for task_id, key in zip(task_ids, keys, strict=True) if key == customer}
        assert most_at_once([each for each in events if each.task_id in its_own]) == 1
    assert most_at_once(events) > 1


async def test_three_workers_together_keep_the_rate_limit(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter
) -> None:
    count, rate = 300, 100
    await given(engine, [None] * count, max_per_second=rate)
    await asyncio.gather(*(start.worker() for _ in range(WORKERS)))
    await all_ended(engine, count)
    # Their handlers may begin later, on a busy machine those of the first claim too.
    started = sorted([row.executed_at for row in await rows.read(engine, "executed_at")])
    # The token bucket allows a burst at first; from then on it is the rate.
    burst = 1 + rate // 10
    seconds = (started[-1] - started[burst - 1]).total_seconds()
    # A busy machine is much slower; `bench limits` measures how close it comes on a quiet one.
    assert 0.2 * rate <= (count - burst) / seconds <= 1.05 * rate


async def test_a_resumed_queue_runs_at_once(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    task_ids = await given(engine, [None] * 3, is_paused=True)
    await start.worker()
    await asyncio.sleep(1.5)  # the sweep polls each second
    assert clients.handler_events(tmp_path, *task_ids) == []
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"is_paused": False}, is_new=False, actor="api")
    await all_ended(engine, 3)


async def test_a_worker_serves_its_queues_in_turn(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    queues_of: dict[int, str] = {}
    for queue in ("first", "second", "third"):
        news = [factories.new_task(name="moment", queue=queue) for _ in range(20)]
        created = await task_create.create_all(engine, news, actor="api")
        queues_of |= {each.task_id: queue for each in created}
    await start.worker(queues="first,second,third", concurrency=2)
    await all_ended(engine, len(queues_of))
    events = [
        queues_of[each.task_id]
        for each in clients.handler_events(tmp_path, *queues_of)
        if each.what.startswith("began")
    ]
    # None waits until another is empty.
    for queue in set(events):
        assert 5 <= events[:30].count(queue) <= 15


async def test_a_worker_starts_with_the_highest_priority(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    priorities = [0, 3, 9, 0, 5, 9, 1]
    news = [factories.new_task(name="moment", priority=priority) for priority in priorities]
    created = await task_create.create_all(engine, news, actor="api")
    priority_of = {each.task_id: priority for each, priority in zip(created, priorities, strict=True)}
    await start.worker(concurrency=1)
    await all_ended(engine, len(created))
    events = clients.handler_events(tmp_path, *priority_of)
    assert [priority_of[each.task_id] for each in events if each.what.startswith("began")] == sorted(priorities)[::-1]


async def test_a_locked_queue_delays_no_other_queue_of_its_worker(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    await queue_limit.update(engine, "locked", {"max_running": 5}, is_new=True, actor="api")
    (delayed,) = await task_create.create_all(engine, [factories.new_task(name="moment", queue="locked")], actor="api")
    async with database.transaction(engine) as holder:
        await holder.execute(sa.text("SELECT FROM queues FOR UPDATE"))
        await start.worker(queues="locked,free", concurrency=2)
        for count in range(1, 5):  # over several sweeps, each of which polls both
            news = [factories.new_task(name="moment", queue="free") for _ in range(3)]
            await task_create.create_all(engine, news, actor="api")
            await all_ended(engine, 3 * count, seconds=7)  # a claim that waits for the lock takes 8 s
            await asyncio.sleep(0.5)
            assert await holder.scalar(sa.text("SELECT count(*) FROM queues")) == 1  # it still holds the lock
        assert clients.handler_events(tmp_path, delayed.task_id) == []
    await all_ended(engine, 13)
