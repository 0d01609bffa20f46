"""With synchronous replication, what an answer confirms is on the standby, even if it was there before the call."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import confirmation, database
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import trigger as schedule_trigger
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from tests.support import factories, primaries, rows

Engine = sqlalchemy_asyncio.AsyncEngine
Call = Callable[[], Awaitable[object]]

REQUESTED = factories.new_task(
    request_id="invoice-7", execution_time=datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
)


@pytest_asyncio.fixture
async def engine(primary: primaries.Primary) -> AsyncIterator[Engine]:
    """An engine on it."""
    engine = database.connect(primary.url)
    yield engine
    await engine.dispose()


async def repeated_calls(engine: Engine) -> dict[str, Call]:
    """Makes calls, each of which finds, when it is repeated, that what it wants is so already."""
    (created,) = await task_create.create_all(engine, [REQUESTED], actor="api")
    cancelled, deleted, retried = [await factories.create(engine) for _ in range(3)]
    running = (await schedule_edit.create(engine, factories.new_schedule(request_id="nightly"), actor="api")).schedule
    paused, gone = [
        (await schedule_edit.create(engine, factories.new_schedule(), actor="api")).schedule for _ in range(2)
    ]
    await task_edit.cancel(engine, retried, actor="api")
    calls: dict[str, Call] = {
        "create": lambda: task_create.create(engine, [REQUESTED], actor="api"),
        "create of a batch": lambda: task_create.create_all(engine, [REQUESTED], actor="api"),
        "create with a request_id that is taken": lambda: task_create.create_all(
            engine, [factories.new_task(request_id="invoice-7")], actor="api"
        ),
        "update": lambda: task_edit.update(engine, created.task_id, {"priority": 3}, version=1, actor="api"),
        "cancel": lambda: task_edit.cancel(engine, cancelled, actor="api"),
        "delete": lambda: task_edit.delete(engine, deleted, actor="api"),
        "retry": lambda: task_edit.retry(engine, retried, actor="api"),
        "create of a schedule": lambda: schedule_edit.create(
            engine, factories.new_schedule(request_id="nightly"), actor="api"
        ),
        "trigger": lambda: schedule_trigger.trigger(engine, running.schedule_id, request_id="now", actor="api"),
        "pause of a schedule": lambda: schedule_edit.pause(engine, paused.schedule_id, actor="api"),
        "resume of a schedule": lambda: schedule_edit.resume(engine, running.schedule_id, actor="api"),
        "delete of a schedule": lambda: schedule_edit.delete(engine, gone.schedule_id, actor="api"),
        "pause of a queue": lambda: queue_limit.update(engine, "mail", {"is_paused": True}, is_new=True, actor="api"),
        "removal of limits": lambda: queue_limit.update(engine, "web", {"is_paused": False}, is_new=True, actor="api"),
    }
    for call in calls.values():
        await outcome(call)
    return calls


async def outcome(call: Call) -> object:
    """Returns what the call returns, or its refusal."""
    try:
        return await call()
    except (errors.TaskNotFound, errors.ScheduleNotFound, errors.StateConflict) as error:
        return error
    except (errors.VersionMismatch, errors.RequestIdTaken) as error:
        return error


async def test_an_answer_that_rests_on_what_is_already_there_waits_for_the_standby(
    engine: Engine, primary: primaries.Primary
) -> None:
    for name, call in (await repeated_calls(engine)).items():
        async with primary.without_standby():
            repeated = asyncio.create_task(outcome(call))
            waiting = asyncio.create_task(primary.wait_for("SyncRep", 1))
            await asyncio.wait([repeated, waiting], return_when=asyncio.FIRST_COMPLETED)
            assert not repeated.done(), f"{name} was answered: {repeated.result()}"
            await waiting
        await repeated


async def test_an_outcome_that_was_fenced_out_is_kept_until_the_standby_has_what_fenced_it(
    engine: Engine, primary: primaries.Primary
) -> None:
    await factories.create(engine, queue="fenced")  # other tests leave tasks in the default queue
    (claimed,) = await factories.claim(engine, queue="fenced")
    outcome = factories.outcome(claimed)
    assert len(await task_outcomes.record(engine, [outcome], worker_id="worker")) == 1
    # The response was lost. Without the standby, a failover would lose the outcome, and the worker would have none.
    assert len(await task_outcomes.record(engine, [outcome], worker_id="worker")) == 0
    async with primary.without_standby():
        asked = asyncio.create_task(task_outcomes.held(engine, [factories.outcome(claimed)], worker_id="worker"))
        waiting = asyncio.create_task(primary.wait_for("SyncRep", 1))
        await asyncio.wait([asked, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert not asked.done(), f"answered: {asked.result()}"
        await waiting
    assert await asked == set()


async def test_a_caller_who_hangs_up_does_not_end_a_commits_wait_for_the_standby(
    engine: Engine, primary: primaries.Primary
) -> None:
    task_id = await factories.create(engine)
    async with primary.without_standby():
        cancelling = asyncio.create_task(task_edit.cancel(engine, task_id, actor="api"))
        await primary.wait_for("SyncRep", 1)
        cancelling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelling
        # Until the standby has the change, nobody sees it.
        assert await task_read.get_status(engine, task_id) is task.Status.PENDING
        assert await primary.count("SyncRep") == 1
    async with rows.locked(engine, task_id):  # once the lock is released, the commit is through
        pass
    assert await task_read.get_status(engine, task_id) is task.Status.CANCELLED


async def test_statement_timeout_does_not_end_a_commits_wait_for_the_standby(
    engine: Engine, primary: primaries.Primary
) -> None:
    async with primary.without_standby(), engine.connect() as connection:
        await connection.execute(sa.text("SET statement_timeout = '100ms'"))
        waiting = asyncio.create_task(confirmation.write(connection))
        done, _ = await asyncio.wait([waiting], timeout=1)
        assert not done
        await primary.set("synchronous_standby_names", "")
        await waiting


async def test_a_statement_whose_caller_hung_up_ends_before_its_timeout(
    engine: Engine, primary: primaries.Primary
) -> None:
    task_id = await factories.create(engine)
    async with rows.locked(engine, task_id):
        waiting = asyncio.create_task(task_edit.cancel(engine, task_id, actor="api"))
        await primary.wait_for("Lock", 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(5):  # it would time out after 8 s
            await primary.wait_for("Lock", 0)
    assert await task_read.get_status(engine, task_id) is task.Status.PENDING


async def test_a_confirmation_needs_no_privileges_and_no_wal_level(engine: Engine) -> None:
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SHOW wal_level")) != "logical"
        await connection.execute(sa.text("CREATE ROLE nobody_special"))
        await connection.execute(sa.text("SET ROLE nobody_special"))
        before = await connection.scalar(sa.text("SELECT pg_current_wal_flush_lsn()"))
        await confirmation.write(connection)
        after = await connection.scalar(sa.text("SELECT pg_current_wal_flush_lsn()"))
    assert before < after
