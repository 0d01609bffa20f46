"""Maintenance, round by round."""

import asyncio
import datetime
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
import structlog.testing
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database, schema
from duetime_core.process import background, outage
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.log import retention
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import ids
from duetime_core.store.tasks import read as task_read
from duetime_worker import context, maintenance
from tests.support import factories, logs, rows

Engine = sqlalchemy_asyncio.AsyncEngine
DAY = datetime.timedelta(days=1)


@pytest_asyncio.fixture
async def here(engine: Engine, redis_url: str) -> AsyncIterator[context.Context]:
    """The context of a worker on this test's database."""
    client = redis_client.connect(redis_url)
    waiting = outage.Outage("the database", "it waits")
    yield context.Context("worker", engine, doorbell.Doorbell(client), factories.LEASE, waiting)
    await client.aclose(close_connection_pool=True)


class Clock:
    """Replaces sleeping: queues the seconds that maintenance would sleep, and lets it continue on demand."""

    def __init__(self) -> None:
        self.slept: asyncio.Queue[float] = asyncio.Queue()
        self.may_continue = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.put_nowait(seconds)
        await self.may_continue.acquire()


def maintaining(here: context.Context) -> maintenance.Maintenance:
    return maintenance.Maintenance(here, task_retention=30 * DAY, log_retention=90 * DAY, audit_retention=365 * DAY)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of maintenance."""
    clock = Clock()
    monkeypatch.setattr(maintenance, "_sleep", clock.sleep)
    return clock


async def test_a_blocked_partition_is_retried_a_minute_later(here: context.Context, clock: Clock) -> None:
    there = await logs.drop_last(here.engine)
    async with logs.reading(here.engine):
        services = background.start(maintaining(here).run())
        assert 30 < await clock.slept.get() <= 60
        assert await logs.months(here.engine) == there[:-1]
    clock.may_continue.release()
    assert 2000 < await clock.slept.get() <= 3600
    assert await logs.months(here.engine) == there
    await background.end(services)


async def test_without_a_database_it_is_retried_a_minute_later(here: context.Context, clock: Clock) -> None:
    nowhere = database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    lost = context.Context("worker", nowhere, here.bell, here.lease, here.database_outage)
    services = background.start(maintaining(lost).run())
    assert 30 < await clock.slept.get() <= 60
    await background.end(services)
    await nowhere.dispose()


async def test_a_failing_job_does_not_stop_the_others(here: context.Context, clock: Clock) -> None:
    task_id = await factories.create(here.engine)
    await task_edit.cancel(here.engine, task_id, actor="api")
    await rows.change(here.engine, "updated_at = '2000-01-01'")
    async with here.engine.connect() as connection:
        await connection.execute(sa.text("DROP TABLE task_logs_default"))
    with structlog.testing.capture_logs() as logged:
        services = background.start(maintaining(here).run())
        assert 30 < await clock.slept.get() <= 60
    assert {entry["log_level"] for entry in logged} == {"error", "info"}
    assert logged[-1]["tasks"] == 1
    await background.end(services)


async def test_a_job_that_keeps_failing_is_logged_with_its_traceback_once(here: context.Context, clock: Clock) -> None:
    async def rename(table: str, to: str) -> None:
        async with here.engine.connect() as connection:
            await connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO {to}"))

    await rename("schedules", to="elsewhere")
    with structlog.testing.capture_logs() as logged:
        services = background.start(maintaining(here).run())
        await clock.slept.get()
        clock.may_continue.release()
        await clock.slept.get()
        await rename("elsewhere", to="schedules")
        clock.may_continue.release()
        await clock.slept.get()  # it works again
        await rename("schedules", to="elsewhere")
        clock.may_continue.release()
        await clock.slept.get()
    await background.end(services)
    failed = [line for line in logged if line.get("job") == "delete_schedules"]
    assert ["exc_info" in line for line in failed] == [True, False, True]


async def test_a_round_deletes_expired_rows_and_logs_it_once(
    here: context.Context, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(5):
        await task_edit.cancel(here.engine, await factories.create(here.engine), actor="api")
    kept = await factories.create(here.engine)
    made = await factories.create_schedule(here.engine, is_paused=True)
    await schedule_edit.delete(here.engine, made.schedule_id, actor="api")
    async with here.engine.connect() as connection:
        await connection.execute(sa.text("UPDATE schedules SET deleted_at = '2000-01-01'"))
        await rows.change(connection, "updated_at = '2000-01-01'")
        await connection.execute(sa.text("UPDATE task_logs SET timestamp = '2000-01-01' WHERE version = 1"))
        await connection.execute(
            sa.text("""
            INSERT INTO audit_events (kind, timestamp) SELECT 'key_created', now() - n * interval '1 day'
            FROM (VALUES (364), (366), (367)) AS old (n)
            """)
        )
    month = await logs.add_month(here.engine, datetime.date(1999, 12, 1))
    with structlog.testing.capture_logs() as logged:
        services = background.start(maintaining(here).run())
        await clock.slept.get()
        clock.may_continue.release()
        await clock.slept.get()
    assert logged == [
        {
            "event": "expired rows deleted",
            "log_level": "info",
            "tasks": 5,
            "schedules": 1,
            "log_rows": 6,
            "audit_events": 2,
            "log_months": [month],
        }
    ]
    assert (await task_read.get(here.engine, kept)).status is task.Status.PENDING
    await background.end(services)


async def test_the_use_of_half_and_of_nine_tenths_of_the_ids_is_logged(here: context.Context, clock: Clock) -> None:
    services = []
    half, nearly_all = "half of the task ids are used", "nine tenths of the task ids are used"
    for used, events in ((ids.HALF, []), (ids.HALF + 1, [half]), (ids.NEARLY_ALL + 1, [nearly_all])):
        async with here.engine.connect() as connection:
            await connection.execute(sa.text(f"SELECT setval('tasks_task_id_seq', {used})"))
        with structlog.testing.capture_logs() as captured:
            services += background.start(maintaining(here).run())
            await clock.slept.get()
        logged = [line for line in captured if "of the task ids are used" in line["event"]]
        assert [(line["event"], line["remaining"]) for line in logged] == [
            (event, schema.MAX_TASK_ID - used) for event in events
        ]
    await background.end(services)
