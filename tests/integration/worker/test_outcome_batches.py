"""Batches of outcomes: bounded by bytes, two at once if full, halved when they fail, no claims while too much waits."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Collection

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import outcomes
from tests.support import factories, loops, workers

pytestmark = pytest.mark.timeout(60)

_BATCHES = "SELECT count(*) FROM task_logs WHERE change = 'completed' GROUP BY xid ORDER BY min(log_id)"
_FAILS_ABOVE = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT count(*) FROM changed WHERE status = 'completed') > {} THEN
        RAISE EXCEPTION 'too slow' USING ERRCODE = 'query_canceled';
    END IF;
    RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER fail AFTER INSERT ON ended_tasks REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION fail()
"""


async def record(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, given: list[task_outcomes.Outcome]
) -> list[int]:
    """Has a worker record those outcomes; returns the sizes of its batches."""
    client = redis_client.connect(redis_url)
    worker = workers.Worker(engine, doorbell.Doorbell(client), lease=factories.LEASE)
    for outcome in given:
        worker.recorder.add(outcome)
    services = background.start(worker.recorder.run())
    async with asyncio.timeout(30):
        await worker.recorder.drain()
    await background.end(services)
    await client.aclose(close_connection_pool=True)
    async with engine.connect() as connection:
        return list((await connection.execute(sa.text(_BATCHES))).scalars())


async def claimed(engine: sqlalchemy_asyncio.AsyncEngine, count: int) -> list[task_outcomes.Outcome]:
    for _ in range(count):
        await factories.create(engine)
    return [factories.outcome(run) for run in await factories.claim(engine)]


async def test_a_batch_of_outcomes_is_bounded_by_bytes(engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str) -> None:
    given = await claimed(engine, 10)
    for outcome in given:
        outcome.result = '{"a": "%s"}' % ("x" * 250_000)
    assert sorted(await record(engine, redis_url, given)) == [1, 3, 3, 3]  # two at a time


async def test_a_batch_of_outcomes_that_times_out_is_halved_before_it_is_repeated(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str
) -> None:
    given = await claimed(engine, 40)
    async with engine.connect() as connection:
        await connection.execute(sa.text(_FAILS_ABOVE.format(10)))
        await connection.execute(sa.text(_TRIGGER))
    sizes = await record(engine, redis_url, given)
    assert sum(sizes) == 40
    assert max(sizes) == 10


async def test_nothing_is_claimed_while_too_many_bytes_wait_to_be_recorded(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MAX_WAITING_BYTES", 1_000)
    client = redis_client.connect(redis_url)
    worker = workers.Worker(engine, doorbell.Doorbell(client), lease=datetime.timedelta(seconds=15))
    (outcome,) = await claimed(engine, 1)
    outcome.result = '{"a": "%s"}' % ("x" * 2_000)
    worker.recorder.add(outcome)
    assert worker.runner.free_slots == 0
    services = background.start(worker.recorder.run())
    await worker.recorder.drain()
    assert worker.runner.free_slots == 10
    await background.end(services)
    await client.aclose(close_connection_pool=True)


@contextlib.asynccontextmanager
async def recording(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, may_record: asyncio.Event | None = None
) -> AsyncIterator[tuple[workers.Worker, list[int]]]:
    """A worker that records nothing until then or until the block ends, and the sizes of the batches that it sent."""
    client = redis_client.connect(redis_url)
    worker = workers.Worker(engine, doorbell.Doorbell(client), lease=factories.LEASE)
    may_record = may_record or asyncio.Event()
    sizes, record = [], worker.recorder._record

    async def held_up(batch: list[task_outcomes.Outcome]) -> Collection[int]:
        sizes.append(len(batch))
        await may_record.wait()
        return await record(batch)

    worker.recorder._record = held_up  # type: ignore[method-assign]
    services = background.start(worker.recorder.run())
    yield worker, sizes
    may_record.set()
    await worker.recorder.drain()
    await background.end(services)
    await client.aclose(close_connection_pool=True)


async def test_a_full_batch_is_written_beside_another_and_fewer_outcomes_wait_for_it(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MAX_BATCH", 10)
    given = await claimed(engine, 35)
    async with recording(engine, redis_url) as (worker, sizes):
        for count, expected in ((1, [1]), (9, [1]), (1, [1, 10]), (24, [1, 10])):
            for _ in range(count):
                worker.recorder.add(given.pop())
            await loops.settle()
            assert sizes == expected
        assert len(worker.recorder.versions) == 35
    assert sizes == [1, 10, 10, 10, 4]
    assert worker.recorder.versions == {}
    async with engine.connect() as connection:
        assert sum((await connection.execute(sa.text(_BATCHES))).scalars()) == 35


async def test_large_results_are_a_full_batch_by_their_bytes(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str
) -> None:
    given = await claimed(engine, 9)
    for outcome in given:
        outcome.result = '{"a": "%s"}' % ("x" * 250_000)
    async with recording(engine, redis_url) as (worker, sizes):
        for outcome in given:
            worker.recorder.add(outcome)
        await loops.settle()
        assert sizes == [3, 3]
    assert sizes == [3, 3, 3]


async def test_a_lease_of_which_two_batches_have_the_last_tasks_is_deleted(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MAX_BATCH", 10)
    for _ in range(20):
        await factories.create(engine)
    runs, may_record = await factories.claim(engine), asyncio.Event()
    async with recording(engine, redis_url, may_record) as (worker, sizes):
        worker.runner.leases.add(runs)
        for run in runs:
            worker.recorder.add(factories.outcome(run))
        await loops.settle()
        assert sizes == [10, 10]
        may_record.set()
        async with asyncio.timeout(30), engine.connect() as connection:
            while await connection.scalar(sa.text("SELECT count(*) FROM leases")):  # noqa: ASYNC110 - no signal
                await asyncio.sleep(0.01)
    assert worker.runner.leases.ids == set()


async def test_an_outcome_that_a_later_run_supersedes_gives_back_its_lease(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str
) -> None:
    await factories.create(engine)
    (first,) = await factories.claim(engine)
    retry = factories.outcome(first, task.Change.RETRY_SCHEDULED, backoff=datetime.timedelta(0))
    async with recording(engine, redis_url) as (worker, _):
        worker.runner.leases.add([first])
        worker.recorder.add(retry)
        await task_outcomes.record(engine, [retry], worker_id="worker")  # its answer was lost
        (second,) = await factories.claim(engine)
        worker.runner.leases.add([second])
        worker.recorder.add(factories.outcome(second))
        assert worker.recorder.versions == {second.task_id: second.version}
        assert worker.runner.leases.tasks(first.lease_id or 0) == {}


async def test_both_batches_that_fail_are_recorded_again(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MAX_BATCH", 10)
    given = await claimed(engine, 20)
    async with recording(engine, redis_url) as (worker, sizes):
        record, failures = worker.recorder._record, iter(range(2))

        async def failing(batch: list[task_outcomes.Outcome]) -> Collection[int]:
            if next(failures, None) is not None:
                raise errors.StoreUnavailable("lost")
            return await record(batch)

        worker.recorder._record = failing  # type: ignore[method-assign]
        for outcome in given:
            worker.recorder.add(outcome)
        async with asyncio.timeout(30):
            while not sizes:  # noqa: ASYNC110 - no signal
                await asyncio.sleep(0.01)
        assert len(worker.recorder.versions) == 20
    async with engine.connect() as connection:
        assert sum((await connection.execute(sa.text(_BATCHES))).scalars()) == 20


async def test_nothing_is_claimed_while_many_outcomes_wait_and_then_the_backlog_is(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MAX_WAITING", 4)
    given = await claimed(engine, 5)
    for _ in range(3):
        await factories.create(engine, name="wait")
    async with recording(engine, redis_url) as (worker, _):
        for outcome in given:
            worker.recorder.add(outcome)
        assert worker.runner.free_slots == 0
        services = background.start(worker.runner.run())
        worker.runner.poll(task.DEFAULT_QUEUE)
        await loops.settle()
        assert worker.runner.versions == {}
    for _ in range(3):
        await worker.began.acquire()
    worker.may_end.set()
    await background.end(services)
