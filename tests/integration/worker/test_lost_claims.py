"""Claims whose response is lost: their tasks are released, and no others."""

import asyncio
import datetime
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import clock, connection, database
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.claiming import rescue
from duetime_core.store.tasks import read as task_read
from duetime_worker import lost_claims, sweep
from tests.support import factories, primaries, proxies, rows, workers

LEASE = datetime.timedelta(seconds=15)
CLAIM = b"AS is_limited"
LOST_ONCE = ["created", "started", "released", "started"]


@pytest_asyncio.fixture
async def worker(proxy: proxies.Proxy, redis_url: str) -> AsyncIterator[workers.Worker]:
    """A worker behind the proxy that claims when it is polled; each test starts the other services it needs."""
    engine, client = database.connect(proxy.url), redis_client.connect(redis_url)
    bell = doorbell.Doorbell(client)
    worker = workers.Worker(engine, bell, lease=LEASE)
    worker.services = background.start(bell.run(), worker.runner.run(), worker.runner.starts.run())
    yield worker
    await background.end(worker.services)
    await client.aclose(close_connection_pool=True)
    await engine.dispose()


async def logged(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int, changes: list[str]) -> None:
    """Waits until the start of a run is logged, and verifies what was logged before."""
    async with asyncio.timeout(10):
        while (history := await factories.history(engine, task_id))[-1] != "started":  # noqa: ASYNC110 - no signal
            await asyncio.sleep(0.01)
    assert history == changes


async def begun(worker: workers.Worker, count: int = 1) -> None:
    for _ in range(count):
        await worker.began.acquire()


async def test_a_task_whose_claim_was_lost_runs_well_within_its_lease(
    engine: sqlalchemy_asyncio.AsyncEngine, proxy: proxies.Proxy, worker: workers.Worker
) -> None:
    task_id = await factories.create(engine, name="wait", max_retries=0)
    proxy.loses_answer_to = CLAIM
    worker.services += background.start(worker.recorder.run(), sweep.Sweeper(worker.here, worker.runner).run())
    async with asyncio.timeout(LEASE.total_seconds() / 2):
        await begun(worker)
        worker.may_end.set()
        await worker.runner.stop(LEASE, grace_ended=asyncio.Event())
        await worker.recorder.drain()
    assert await factories.history(engine, task_id) == [*LOST_ONCE, "completed"]
    found = await task_read.get(engine, task_id)
    assert (found.status, found.retry_count, found.lost_leases) == (task.Status.COMPLETED, 0, 0)


async def test_no_task_that_runs_or_waits_to_be_recorded_is_released(
    engine: sqlalchemy_asyncio.AsyncEngine, proxy: proxies.Proxy, worker: workers.Worker
) -> None:
    ended = [await factories.create(engine, name="nobody's", max_retries=0) for _ in range(3)]
    running = [await factories.create(engine, name="wait") for _ in range(3)]
    worker.runner.poll_all()
    await begun(worker, len(running))
    assert worker.recorder.versions.keys() == set(ended)
    for lost in range(1, 4):
        await factories.create(engine, name="wait")
        proxy.loses_answer_to = CLAIM
        worker.runner.poll_all()
        await proxy.answer_lost.wait()
        proxy.answer_lost.clear()
        worker.runner.poll_all()
        await begun(worker)
        assert len(worker.runner.versions) == len(running) + lost
    for task_id in running:
        await logged(engine, task_id, ["created", "started"])
    for task_id in ended:  # their starts are logged with their outcomes
        assert await factories.history(engine, task_id) == ["created"]
    worker.services += background.start(worker.recorder.run())
    worker.may_end.set()
    await worker.runner.stop(LEASE, grace_ended=asyncio.Event())
    await worker.recorder.drain()
    for task_id in ended:
        assert await factories.history(engine, task_id) == ["created", "started", "failed"]
    for task_id in running:
        assert await factories.history(engine, task_id) == ["created", "started", "completed"]


async def test_a_claim_that_is_committed_after_the_first_release_is_released_too(
    engine: sqlalchemy_asyncio.AsyncEngine, proxy: proxies.Proxy, worker: workers.Worker
) -> None:
    proxy.loses_answer_to = CLAIM
    worker.runner.poll_all()
    await proxy.answer_lost.wait()
    first = await factories.create(engine, name="wait")
    worker.runner.poll_all()
    await begun(worker)
    late = await factories.create(engine, name="wait")
    # As PostgreSQL does when it executes the delayed claim at last.
    assert [each.task_id for each in await factories.claim(engine, worker_id=worker.here.worker_id)] == [late]
    worker.runner.poll_all()
    await begun(worker)
    assert worker.runner.versions.keys() == {first, late}
    await logged(engine, first, ["created", "started"])
    await logged(engine, late, LOST_ONCE)


async def test_a_stopping_worker_releases_the_tasks_of_a_lost_last_claim(
    engine: sqlalchemy_asyncio.AsyncEngine, proxy: proxies.Proxy, worker: workers.Worker
) -> None:
    task_id = await factories.create(engine, max_retries=0)
    proxy.loses_answer_to = CLAIM
    worker.runner.poll_all()
    await proxy.answer_lost.wait()
    await worker.runner.stop(datetime.timedelta(0), grace_ended=asyncio.Event())
    assert await factories.history(engine, task_id) == ["created", "started", "released"]
    assert [each.task_id for each in await factories.claim(engine)] == [task_id]


async def test_a_worker_without_a_lost_claim_releases_nothing(
    engine: sqlalchemy_asyncio.AsyncEngine, worker: workers.Worker
) -> None:
    unknown = await factories.create(engine)
    await factories.claim(engine, worker_id=worker.here.worker_id)
    await factories.create(engine, name="wait")
    worker.runner.poll_all()
    await begun(worker)
    await worker.runner.stop(datetime.timedelta(0), grace_ended=asyncio.Event())
    assert await factories.history(engine, unknown) == ["created"]
    assert (await task_read.get(engine, unknown)).status is task.Status.RUNNING


async def _release(engine: sqlalchemy_asyncio.AsyncEngine, *held: int) -> list[int]:
    now = await clock.now(engine)
    released = await rescue.release(engine, worker_id="worker", queue=task.DEFAULT_QUEUE, held=held, claimed_before=now)
    return [each.task_id for each in released]


async def test_a_release_leaves_held_tasks_and_those_of_other_workers(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await factories.create(engine)
    (held,) = await factories.claim(engine)
    unknown = await factories.create(engine)
    await factories.claim(engine)
    await factories.create(engine)
    await factories.claim(engine, worker_id="another")
    assert held.lease_id is not None
    assert await _release(engine, held.lease_id) == [unknown]
    assert await _release(engine, held.lease_id) == []


async def test_a_delayed_release_leaves_tasks_that_were_claimed_meanwhile(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    task_id = await factories.create(engine)
    sent = await clock.now(engine)
    await factories.claim(engine)
    released = await rescue.release(engine, worker_id="worker", queue=task.DEFAULT_QUEUE, held=[], claimed_before=sent)
    assert released == []
    assert await _release(engine) == [task_id]


async def test_a_release_skips_locked_tasks(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    held, free = [await factories.create(engine) for _ in range(2)]
    await factories.claim(engine)
    async with rows.locked(engine, held), asyncio.timeout(5):
        assert await _release(engine) == [free]
    assert await _release(engine) == [held]


async def test_a_release_keeps_the_count_of_lost_leases(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    task_id = await factories.create(engine)
    await factories.claim(engine, lease=datetime.timedelta(0))
    await rescue.reclaim(engine, worker_id="sweeper")
    lost = await task_read.get(engine, task_id)
    await factories.claim(engine)
    assert await _release(engine) == [task_id]
    found = await task_read.get(engine, task_id)
    assert (found.status, found.worker_id, found.lease_expires_at) == (task.Status.PENDING, None, None)
    assert (found.retry_count, found.lost_leases, found.error_message) == (1, 1, lost.error_message)


async def test_claims_count_as_possibly_lost_until_a_lease_after_the_database_commits_again(
    primary: primaries.Primary, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, client, seconds = database.connect(primary.url), redis_client.connect(redis_url), 0.0
    worker = workers.Worker(engine, doorbell.Doorbell(client), lease=LEASE)
    claims = lost_claims.LostClaims(worker.here, None, clock=lambda: seconds)
    claims.are_possible = True
    async with primary.without_standby():
        monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)
        for _ in range(3):  # reads are answered, and find nothing
            await claims.release(set)
            seconds += LEASE.total_seconds()
        assert claims.are_possible
        monkeypatch.undo()  # what else waits for PostgreSQL has its time
    await claims.release(set)
    assert claims.are_possible
    seconds += LEASE.total_seconds()
    await claims.release(set)
    assert not claims.are_possible
    await client.aclose(close_connection_pool=True)
    await engine.dispose()
