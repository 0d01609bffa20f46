"""The runner in the test's process, where a test can reclaim a task at the worst moment."""

import asyncio
import contextlib
import datetime
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.claiming import fast, rescue
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import read as task_read
from duetime_worker import handlers, runner
from tests.support import factories, rows, workers

QUEUE = task.DEFAULT_QUEUE


@pytest.fixture
def lease() -> datetime.timedelta:
    """A lease that expires at once, so that any sweep reclaims the task."""
    return datetime.timedelta(0)


@pytest.fixture
def concurrency() -> int:
    """How many tasks run at once."""
    return 10


@pytest_asyncio.fixture
async def worker(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, lease: datetime.timedelta, concurrency: int
) -> AsyncIterator[workers.Worker]:
    """A worker that claims when it is polled."""
    client = redis_client.connect(redis_url)
    bell = doorbell.Doorbell(client)
    worker = workers.Worker(engine, bell, lease=lease, concurrency=concurrency)
    worker.services = background.start(bell.run(), worker.recorder.run(), worker.runner.run())
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


async def test_a_task_that_its_former_worker_claims_again_is_recorded_once(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    task_id = await create(engine)
    worker.runner.poll(QUEUE)
    await worker.began.acquire()
    assert await rescue.reclaim(engine, worker_id="sweeper") == [task_id]
    worker.runner.poll_all()
    await worker.began.acquire()
    await worker.cancelled.acquire()  # the first run
    worker.may_end.set()
    await _until_recorded(worker)
    assert await changes(engine, task_id) == ["created", "started", "lease_lost", "started", "completed"]
    assert worker.runner.versions == {}


async def test_an_outcome_of_a_run_whose_lease_was_lost_is_dropped(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    task_id = await create(engine)
    worker.runner.poll(QUEUE)
    await worker.began.acquire()
    assert await rescue.reclaim(engine, worker_id="sweeper") == [task_id]
    worker.may_end.set()
    await _until_recorded(worker)
    assert await changes(engine, task_id) == ["created", "started", "lease_lost"]


@pytest.mark.parametrize("lease", [factories.LEASE])
async def test_a_release_is_recorded_though_its_handler_ends_meanwhile(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ignoring() -> None:
        worker.began.release()
        while not worker.may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await worker.may_end.wait()

    handler = handlers.Handler("wait", ignoring, None, None, {})
    monkeypatch.setattr(worker.runner._executor, "_registry", {"wait": handler})
    worker.services += background.start(worker.runner.starts.run())
    task_id = await create(engine)
    worker.runner.poll(QUEUE)
    await worker.began.acquire()
    async with asyncio.timeout(10):
        while (await changes(engine, task_id))[-1] != "started":  # noqa: ASYNC110 - no signal
            await asyncio.sleep(0.01)
    recording = worker.services.pop(1)
    await background.end([recording])
    await worker.runner.stop(datetime.timedelta(0), grace_ended=asyncio.Event())
    worker.may_end.set()
    while worker.runner.versions:  # noqa: ASYNC110 - no signal
        await asyncio.sleep(0.001)
    worker.services += background.start(worker.recorder.run())
    async with asyncio.timeout(10):
        await worker.recorder.drain()
    assert await changes(engine, task_id) == ["created", "started", "released"]


async def test_an_outcome_of_a_cancelled_task_is_dropped(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    task_id = await create(engine)
    worker.runner.poll(QUEUE)
    await worker.began.acquire()
    await task_edit.cancel(engine, task_id, actor="api")
    worker.may_end.set()
    await _until_recorded(worker)
    assert (await task_read.get(engine, task_id)).status is task.Status.CANCELLED


@pytest.mark.parametrize(("lease", "concurrency"), [(factories.LEASE, 400)])
async def test_half_of_many_slots_are_claimed_at_once(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    worker.runner._batches._most_waiting = 1_000  # as a worker's whose handlers take little time
    new = task.NewTask("wait", datetime.datetime.now(datetime.UTC))
    await task_create.create(engine, [new] * 300, actor="api")
    worker.runner.poll(QUEUE)
    for _ in range(300):
        await worker.began.acquire()
    sizes = "SELECT cardinality(task_ids) FROM leases ORDER BY started_at"
    async with engine.connect() as connection:
        assert list((await connection.execute(sa.text(sizes))).scalars()) == [200, 100]


@pytest.mark.parametrize(("lease", "concurrency"), [(factories.LEASE, 400)])
async def test_the_next_claim_is_sent_before_the_tasks_of_the_last_one_begin(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.runner._batches._most_waiting = 1_000
    claim, events = fast.claim, []

    async def observed(*given: Any, **options: Any) -> fast.Claim:
        events.append("claim")
        return await claim(*given, **options)

    def begin() -> None:
        events.append("begin")
        release()

    release = worker.began.release
    monkeypatch.setattr(fast, "claim", observed)
    monkeypatch.setattr(worker.began, "release", begin)
    new = task.NewTask("wait", datetime.datetime.now(datetime.UTC))
    await task_create.create(engine, [new] * 300, actor="api")
    worker.runner.poll(QUEUE)
    for _ in range(300):
        await worker.began.acquire()
    assert events[:3] == ["claim", "claim", "begin"]


@pytest.mark.parametrize("lease", [factories.LEASE])
async def test_of_tasks_that_lost_several_leases_one_runs_at_once(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    quarantined = [await create(engine) for _ in range(3)]
    await rows.change(engine, "lost_leases = 3")
    good = await create(engine)
    for _ in range(2):
        worker.runner.poll_all()
        await worker.began.acquire()
    assert worker.runner.versions.keys() == {quarantined[0], good}
    worker.may_end.set()
    for _ in quarantined[1:]:
        await worker.began.acquire()
    await _until_recorded(worker)
    for earlier, later in itertools.pairwise([await task_read.get(engine, task_id) for task_id in quarantined]):
        assert later.executed_at is not None
        assert earlier.updated_at < later.executed_at  # recorded before the next one began


async def test_stopping_right_after_a_poll_releases_the_claimed_tasks(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    task_ids = [await create(engine) for _ in range(5)]
    worker.runner.poll(QUEUE)
    await asyncio.sleep(0)  # the claim is in progress now
    await worker.runner.stop(datetime.timedelta(0), grace_ended=asyncio.Event())
    await worker.recorder.drain()
    for task_id in task_ids:
        found = await task_read.get(engine, task_id)
        assert (found.status, found.retry_count) == (task.Status.PENDING, 0)


@pytest.mark.parametrize("has_grace_ended", [True, False])
async def test_stopping_does_not_wait_for_a_blocked_claim(
    engine: sqlalchemy_asyncio.AsyncEngine,
    worker: workers.Worker,
    has_grace_ended: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task_id = await create(engine)
    grace_ended = asyncio.Event()
    if has_grace_ended:
        grace_ended.set()
    else:
        monkeypatch.setattr(runner, "_LAST_CLAIM", datetime.timedelta(seconds=0.1))
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text(rows.lock_all()))
        worker.runner.poll(QUEUE)
        async with asyncio.timeout(20):
            while not await _count_waiting(connection):
                pass
            await worker.runner.stop(datetime.timedelta(hours=1), grace_ended=grace_ended)
        async with asyncio.timeout(20):  # PostgreSQL notices that the worker hung up, and ends it too
            while await _count_waiting(connection):
                pass
    assert await changes(engine, task_id) == ["created"]


async def _count_waiting(connection: sqlalchemy_asyncio.AsyncConnection) -> int:
    waiting = """
        SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE datname = current_database() AND relation IS NOT NULL AND NOT granted
    """
    count: int = (await connection.execute(sa.text(waiting))).scalar_one()
    return count


async def _until_recorded(worker: workers.Worker) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            await worker.runner.stop(datetime.timedelta(seconds=5), grace_ended=asyncio.Event())
            await worker.recorder.drain()


async def test_a_busy_worker_calls_idle_ones_at_most_ten_times_a_second(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    called: list[datetime.datetime] = []
    monkeypatch.setattr(worker.here.bell, "arm", lambda _namespace, _queue, due_at, **_: called.append(due_at))
    await task_create.create(engine, [task.NewTask("wait", now)] * 500, actor="api")
    worker.may_end.set()
    worker.runner.poll(QUEUE)
    for _ in range(500):
        await worker.began.acquire()
    assert called
    assert all(later - earlier >= datetime.timedelta(milliseconds=100) for earlier, later in itertools.pairwise(called))


@pytest.mark.parametrize("lease", [factories.LEASE])
async def test_claims_in_flight_together_never_take_more_tasks_than_slots_are_free(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    queues = [f"queue-{number}" for number in range(6)]
    await task_create.create(
        engine, [task.NewTask("wait", now, queue=queue) for queue in queues for _ in range(20)], actor="api"
    )
    worker.runner._queues = queues
    worker.runner.poll_all()
    for _ in range(10):
        await worker.began.acquire()
    assert len(worker.runner.versions) == 10
    worker.may_end.set()
    for _ in range(110):
        await worker.began.acquire()
        assert len(worker.runner.versions) <= 10
