"""The runner within this process, where a test can take a lease away at the worst moment."""

import asyncio
import contextlib
import datetime
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.claiming import rescue
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import read as task_read
from duetime_worker import runner
from tests.support import factories, workers

QUEUE = task.DEFAULT_QUEUE


@pytest.fixture
def lease() -> datetime.timedelta:
    """One that runs out as it begins: whoever sweeps takes the task back."""
    return datetime.timedelta(0)


@pytest.fixture
def concurrency() -> int:
    """How many tasks run at once."""
    return 10


@pytest_asyncio.fixture
async def worker(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, lease: datetime.timedelta, concurrency: int
) -> AsyncIterator[workers.Worker]:
    """A worker that claims when it is told to look."""
    client = redis_client.connect(redis_url)
    bell = doorbell.Doorbell(client)
    worker = workers.Worker(engine, bell, lease=lease, concurrency=concurrency)
    worker.services = background.start(bell.run(), worker.report.run(), worker.runs.run())
    yield worker
    worker.may_end.set()
    await background.end(worker.services)
    await client.aclose(close_connection_pool=True)


async def create(engine: sqlalchemy_asyncio.AsyncEngine) -> int:
    new = task.NewTask("wait", datetime.datetime.now(datetime.UTC))
    (created,) = await task_create.create(engine, [new], actor="api")
    assert isinstance(created, task_create.Created)
    return created.task_id


async def changes(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> list[str]:
    return [log.change for log in await task_read.list_logs(engine, task_id, after_version=0, limit=100)]


async def test_a_task_that_comes_back_to_the_worker_that_lost_it_is_recorded_once(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    task_id = await create(engine)
    worker.runs.look(QUEUE)
    await worker.began.acquire()
    assert await rescue.reclaim(engine, worker_id="sweeper") == [task_id]
    worker.runs.look_everywhere()
    await worker.began.acquire()
    await worker.cancelled.acquire()  # the first run
    worker.may_end.set()
    await _until_recorded(worker)
    assert await changes(engine, task_id) == ["created", "started", "lease_lost", "started", "completed"]
    assert worker.runs.versions == {}


async def test_an_outcome_of_a_run_whose_lease_was_lost_is_dropped(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    task_id = await create(engine)
    worker.runs.look(QUEUE)
    await worker.began.acquire()
    assert await rescue.reclaim(engine, worker_id="sweeper") == [task_id]
    worker.may_end.set()
    await _until_recorded(worker)
    assert await changes(engine, task_id) == ["created", "started", "lease_lost"]


async def test_an_outcome_of_a_task_that_was_cancelled_is_dropped(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    task_id = await create(engine)
    worker.runs.look(QUEUE)
    await worker.began.acquire()
    await task_edit.cancel(engine, task_id, actor="api")
    worker.may_end.set()
    await _until_recorded(worker)
    assert (await task_read.get(engine, task_id)).status is task.Status.CANCELLED


@pytest.mark.parametrize(("lease", "concurrency"), [(factories.LEASE, 400)])
async def test_half_of_many_places_are_claimed_at_once(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    new = task.NewTask("wait", datetime.datetime.now(datetime.UTC))
    await task_create.create(engine, [new] * 300, actor="api")
    worker.runs.look(QUEUE)
    for _ in range(300):
        await worker.began.acquire()
    sizes = "SELECT count(*) FROM task_logs WHERE change = 'started' GROUP BY timestamp ORDER BY timestamp"
    async with engine.connect() as connection:
        assert list((await connection.execute(sa.text(sizes))).scalars()) == [200, 100]


@pytest.mark.parametrize("lease", [factories.LEASE])
async def test_of_suspects_that_lost_several_leases_one_runs_at_once(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    suspects = [await create(engine) for _ in range(3)]
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE tasks SET lost_leases = 3"))
    good = await create(engine)
    for _ in range(2):
        worker.runs.look_everywhere()
        await worker.began.acquire()
    assert worker.runs.versions.keys() == {suspects[0], good}
    worker.may_end.set()
    for _ in suspects[1:]:
        await worker.began.acquire()
    await _until_recorded(worker)
    for earlier, later in itertools.pairwise([await task_read.get(engine, task_id) for task_id in suspects]):
        assert later.executed_at is not None
        assert earlier.updated_at < later.executed_at  # recorded before the next one began


async def test_stopping_right_after_a_look_hands_back_what_the_claim_brings(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    task_ids = [await create(engine) for _ in range(5)]
    worker.runs.look(QUEUE)
    await asyncio.sleep(0)  # the claim is under way now
    await worker.runs.stop(datetime.timedelta(0), hurry=asyncio.Event())
    await worker.report.drain()
    for task_id in task_ids:
        found = await task_read.get(engine, task_id)
        assert (found.status, found.retry_count) == (task.Status.PENDING, 0)


@pytest.mark.parametrize("is_in_a_hurry", [True, False])
async def test_stopping_does_not_wait_for_a_claim_that_somebody_holds_up(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker, is_in_a_hurry: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await create(engine)
    hurry = asyncio.Event()
    if is_in_a_hurry:
        hurry.set()
    else:
        monkeypatch.setattr(runner, "_LAST_CLAIM", datetime.timedelta(seconds=0.1))
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("LOCK TABLE tasks"))
        worker.runs.look(QUEUE)
        async with asyncio.timeout(10):
            while not await _count_waiting(connection):
                pass
            await worker.runs.stop(datetime.timedelta(hours=1), hurry=hurry)
        assert await _count_waiting(connection) == 0  # it is given up in PostgreSQL too
    assert await changes(engine, task_id) == ["created"]


async def _count_waiting(connection: sqlalchemy_asyncio.AsyncConnection) -> int:
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = CAST('tasks' AS regclass) AND NOT granted"
    count: int = (await connection.execute(sa.text(waiting))).scalar_one()
    return count


async def _until_recorded(worker: workers.Worker) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            await worker.runs.stop(datetime.timedelta(seconds=5), hurry=asyncio.Event())
            await worker.report.drain()


async def test_a_worker_with_more_to_do_rings_for_others_at_most_ten_times_a_second(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    rung: list[datetime.datetime] = []
    monkeypatch.setattr(worker.here.bell, "arm", lambda _queue, due_at, **_: rung.append(due_at))
    await task_create.create(engine, [task.NewTask("wait", now)] * 500, actor="api")
    worker.may_end.set()
    worker.runs.look(QUEUE)
    for _ in range(500):
        await worker.began.acquire()
    assert rung
    assert all(later - earlier >= datetime.timedelta(milliseconds=100) for earlier, later in itertools.pairwise(rung))


async def test_a_ring_that_would_be_too_soon_comes_later_and_is_not_left_out(
    worker: workers.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, ms = datetime.datetime.now(datetime.UTC), datetime.timedelta(milliseconds=1)
    rung: list[datetime.datetime] = []
    monkeypatch.setattr(worker.here.bell, "arm", lambda _queue, due_at, **_: rung.append(due_at))
    for passed in (0, 10, 20, 150, 1000, -3_600_000):  # at last the clock is set back by an hour
        worker.runs._call_idle_workers(QUEUE, now + passed * ms)
    assert rung == [now + at * ms for at in (0, 100, 200, 1000, -3_600_000)]
