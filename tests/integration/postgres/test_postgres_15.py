"""The oldest PostgreSQL that is supported, Debian's: its schema, tasks, limits, schedules and the feed."""

import datetime
import pathlib
from collections.abc import AsyncIterator, Iterator

import alembic.command
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.log import feed
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.support import factories, postgres

Engine = sqlalchemy_asyncio.AsyncEngine

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")

pytestmark = pytest.mark.skipif(not PROGRAMS.exists(), reason="apt-get install postgresql-15")


@pytest.fixture(scope="module")
def url(short_directory: pathlib.Path) -> Iterator[str]:
    """A PostgreSQL 15: the URL of its database `postgres`."""
    server = postgres.Postgres(short_directory / "postgres15", programs=PROGRAMS)
    yield server.url
    server.kill()


@pytest_asyncio.fixture
async def engine(url: str) -> AsyncIterator[Engine]:
    engine = database.connect(url)
    await migrate.upgrade(engine)
    yield engine
    await engine.dispose()


async def test_the_schema_is_the_same_on_postgresql_15(engine: Engine) -> None:
    async with engine.connect() as connection:
        version = (await connection.execute(sa.text("SHOW server_version_num"))).scalar_one()
        assert version.startswith("15")
        await connection.run_sync(lambda sync: alembic.command.check(migrate.config(sync)))


async def test_tasks_are_created_claimed_finished_and_watched_on_postgresql_15(engine: Engine) -> None:
    position = await feed.now(engine)
    task_id, cancelled = await factories.create(engine), await factories.create(engine)
    await task_edit.cancel(engine, cancelled, actor="api")
    (claimed,) = await factories.claim(engine)
    assert claimed.task_id == task_id
    retried = factories.outcome(claimed, task.Change.RETRY_SCHEDULED, backoff=datetime.timedelta(0))
    await task_outcomes.record(engine, [retried], worker_id="worker")
    (again,) = await factories.claim(engine)
    await task_outcomes.record(engine, [factories.outcome(again)], worker_id="worker")
    assert await factories.history(engine, task_id) == [
        *("created", "started", "retry_scheduled", "started", "completed")
    ]
    seen = {
        (entry.log.task_id, str(entry.log.change))
        for entry in (await feed.read(engine, position, namespace_id=None, limit=100)).entries
    }
    assert {(task_id, "completed"), (cancelled, "cancelled")} <= seen


async def test_a_limit_holds_on_postgresql_15(engine: Engine) -> None:
    await queue_limit.update(engine, "limited", {"max_running": 1}, is_new=True, actor="api")
    first = await factories.create(engine, queue="limited")
    await factories.create(engine, queue="limited")
    claim = await factories.claim_locked(engine, queue="limited")
    assert [claimed.task_id for claimed in claim.tasks] == [first]
    assert (await factories.claim_locked(engine, queue="limited")).tasks == []


async def test_a_schedule_has_its_next_occurrence_on_postgresql_15(engine: Engine) -> None:
    created = await factories.create_schedule(engine)
    found = await schedule_edit.get(engine, created.schedule_id)
    assert found.next_task_id is not None
