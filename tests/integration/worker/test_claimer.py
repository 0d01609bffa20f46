"""What a worker remembers of a queue keeps no due task from it."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store import leftovers
from duetime_core.store.claiming import rescue
from duetime_core.store.tasks import bulk_edit, page
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from duetime_worker import claimer
from tests.support import backlogs, factories, rows, workers

QUEUE = task.DEFAULT_QUEUE
Change = Callable[[sqlalchemy_asyncio.AsyncEngine, task.Task], Awaitable[object]]


@pytest_asyncio.fixture
async def claims(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[claimer.Claimer]:
    """A claimer that has looked at everything, and will not do so again: that is slow under an old snapshot."""
    monkeypatch.setattr(leftovers.Left, "is_due", False)
    client = redis_client.connect(redis_url)
    made = claimer.Claimer(workers.Worker(engine, doorbell.Doorbell(client), lease=factories.LEASE).here)
    await made.claim(QUEUE, 9)
    yield made
    await client.aclose(close_connection_pool=True)


async def overdue(engine: sqlalchemy_asyncio.AsyncEngine, **changes: object) -> int:
    """Creates a task that has been due for an hour, as if it had waited since."""
    task_id = await factories.create(engine, **changes)
    await rows.move_back(engine, datetime.timedelta(hours=1), task_id)
    return task_id


async def found(claims: claimer.Claimer) -> list[int]:
    return [each.task_id for each in (await claims.claim(QUEUE, 9)).tasks]


async def release(engine: sqlalchemy_asyncio.AsyncEngine, run: task.Task) -> object:
    outcome = factories.outcome(run, task.Change.RELEASED)
    return await task_outcomes.record(engine, [outcome], worker_id="worker")


async def lose(engine: sqlalchemy_asyncio.AsyncEngine, _: task.Task) -> object:
    await rows.expire_leases(engine)
    return await rescue.reclaim(engine, worker_id="sweeper")


async def release_lost_claim(engine: sqlalchemy_asyncio.AsyncEngine, _: task.Task) -> object:
    now = datetime.datetime.now(datetime.UTC) + factories.SECOND
    return await rescue.release(engine, worker_id="worker", queue=task.DEFAULT_QUEUE, held=[], claimed_before=now)


async def retry(engine: sqlalchemy_asyncio.AsyncEngine, run: task.Task) -> object:
    outcome = factories.outcome(run, task.Change.RETRY_SCHEDULED, backoff=datetime.timedelta(0))
    return await task_outcomes.record(engine, [outcome], worker_id="worker")


@pytest.mark.parametrize("change", [release, lose, release_lost_claim, retry])
async def test_a_run_that_ends_without_an_outcome_is_claimed_again_at_once(
    engine: sqlalchemy_asyncio.AsyncEngine, claims: claimer.Claimer, change: Change
) -> None:
    task_id = await overdue(engine)
    claims._bounds.clear()
    (run,) = (await claims.claim(QUEUE, 9)).tasks
    await found(claims)
    await change(engine, run)
    assert await found(claims) == [task_id]


@pytest.mark.parametrize(
    "changes", [{"queue": QUEUE}, {"queue": QUEUE, "priority": 5}, {"queue": QUEUE, "concurrency_key": "key"}]
)
async def test_an_overdue_task_that_a_caller_moves_to_the_queue_is_claimed_at_once(
    engine: sqlalchemy_asyncio.AsyncEngine, claims: claimer.Claimer, changes: dict[str, object]
) -> None:
    task_id = await overdue(engine, queue="other")
    assert await found(claims) == []
    await task_edit.update(engine, task_id, changes, version=None, actor="api")
    assert await found(claims) == [task_id]


async def test_overdue_tasks_that_a_bulk_move_brings_are_claimed_at_once(
    engine: sqlalchemy_asyncio.AsyncEngine, claims: claimer.Claimer
) -> None:
    task_ids = [await overdue(engine, queue="other") for _ in range(3)]
    changing = bulk_edit.change(
        engine,
        task.Change.UPDATED,
        page.Filter(queue="other", statuses=(task.Status.PENDING,)),
        changes={"queue": QUEUE},
        progress=bulk_edit.Progress(),
        seconds=5,
        actor="api",
    )
    assert [each.task_id async for batch in changing for each in batch] == task_ids
    assert sorted(await found(claims)) == task_ids


async def test_a_task_whose_creation_took_long_to_commit_is_claimed_after_the_next_sweep(
    engine: sqlalchemy_asyncio.AsyncEngine, claims: claimer.Claimer
) -> None:
    async with engine.connect() as other:
        async with database.transaction(engine) as slow:
            (task_id,) = await slow.execute(sa.text(backlogs.insertion(1)))
            await asyncio.sleep(1.5)  # longer than claims look back
            assert await found(claims) == []
        assert await rows.count(other, "status = 'pending'") == 1
    claims.sweep()
    assert await found(claims) == list(task_id)


async def test_claims_continue_after_the_database_clock_was_set_back(
    engine: sqlalchemy_asyncio.AsyncEngine, claims: claimer.Claimer
) -> None:
    known = claims._bounds_of(QUEUE)
    ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    known.learn(None, is_full=False, now=ahead)
    task_id = await factories.create(engine)
    assert await found(claims) == [task_id]


async def test_tasks_that_a_clock_ahead_stamped_are_claimed_when_it_is_set_back(
    engine: sqlalchemy_asyncio.AsyncEngine, claims: claimer.Claimer
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    priorities = (0, 5, 0)
    overdue = [await factories.create(engine, priority=priority) for priority in priorities]
    later = await factories.create(engine, execution_time=now + datetime.timedelta(hours=1))
    async with engine.connect() as connection:
        statement = "UPDATE waiting SET ready_at = greatest(ready_at, now() + interval '20 hours')"
        await connection.execute(sa.text(statement))
    claims._bounds_of(QUEUE).learn(None, is_full=False, now=now + datetime.timedelta(days=1))
    assert await found(claims) == []  # it learns of the present time
    assert sorted(await found(claims)) == overdue
    ready = sa.text("SELECT ready_at FROM waiting WHERE task_id = :task_id")
    async with engine.connect() as connection:
        assert await connection.scalar(ready, {"task_id": later}) == (await task_read.get(engine, later)).execution_time


async def test_a_worker_that_starts_after_the_clock_was_set_back_finds_what_was_stamped_ahead(
    engine: sqlalchemy_asyncio.AsyncEngine, claims: claimer.Claimer
) -> None:
    task_id = await factories.create(engine)
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE waiting SET ready_at = now() + interval '20 hours'"))
        await connection.execute(
            sa.text("INSERT INTO claim_floors SELECT 'default', array_fill(now() + interval '20 hours', ARRAY[11])")
        )
    claims._bounds.clear()
    assert await found(claims) == [task_id]


async def test_a_task_that_was_locked_while_claims_passed_is_claimed_after_a_sweep(
    engine: sqlalchemy_asyncio.AsyncEngine, claims: claimer.Claimer, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, urgent = await overdue(engine), await overdue(engine, priority=3)
    claims._bounds.clear()
    async with rows.locked(engine, left, urgent):
        assert await found(claims) == []
    assert await found(claims) == []
    monkeypatch.setattr(leftovers.Left, "is_due", True)
    claims.sweep()
    assert await found(claims) == [urgent, left]


async def test_a_claim_after_one_that_failed_looks_at_everything(
    engine: sqlalchemy_asyncio.AsyncEngine, claims: claimer.Claimer
) -> None:
    # As after a failover to a standby that had not received a claim: it is pending again, as before.
    task_id = await overdue(engine)
    assert await found(claims) == []
    async with database.transaction(engine) as holder:
        await holder.execute(sa.text(rows.lock_all()))
        claiming = asyncio.create_task(claims.claim(QUEUE, 9))
        async with engine.connect() as other:
            waiting = "FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            waiting = f"{waiting} WHERE datname = current_database() AND relation IS NOT NULL AND NOT granted"
            while not await other.scalar(sa.text(f"SELECT count(*) {waiting}")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await other.execute(sa.text(f"SELECT pg_terminate_backend(pid) {waiting}"))
        with pytest.raises(Exception, match="connection to the database was lost"):
            await claiming
    assert await found(claims) == [task_id]
