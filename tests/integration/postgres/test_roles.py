"""Servers and workers whose role is not the one that owns the tables."""

import dataclasses
import datetime
import uuid
from collections.abc import AsyncIterator

import psycopg.errors
import pytest
import pytest_asyncio
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.postgres import database
from duetime_core.store.log import partitions, retention
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.support import factories, logs

Engine = sqlalchemy_asyncio.AsyncEngine


async def execute(engine: Engine, statement: str) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text(statement))


@dataclasses.dataclass(frozen=True)
class Roles:
    """A database, as its owner and as the application sees it."""

    owner: Engine
    application: Engine


@pytest_asyncio.fixture
async def roles(admin: Engine) -> AsyncIterator[Roles]:
    """A migrated database whose owner, and whose servers and workers, have roles of their own, without superuser."""
    name = f"roles_{uuid.uuid4().hex}"
    owner, application = f"{name}_owner", f"{name}_application"
    for statement in (
        f"CREATE ROLE {owner} LOGIN",
        f"CREATE ROLE {application} LOGIN",
        f"GRANT {owner} TO {application} WITH INHERIT FALSE, SET TRUE",
        f"CREATE DATABASE {name} OWNER {owner}",
    ):
        await execute(admin, statement)
    url = admin.url.set(drivername="postgresql", database=name)
    engines = [database.connect(url.set(username=each).render_as_string(False)) for each in (owner, application)]
    await migrate.upgrade(engines[0], application_role=application)
    yield Roles(*engines)
    for engine in engines:
        await engine.dispose()
    await execute(admin, f"DROP DATABASE {name} WITH (FORCE)")
    for each in (application, owner):
        await execute(admin, f"DROP ROLE {each}")


async def test_a_tasks_life_needs_no_more_than_reading_and_writing_rows(roles: Roles) -> None:
    task_id = await factories.create(roles.application)
    (claimed,) = await factories.claim(roles.application)
    await task_outcomes.record(roles.application, [factories.outcome(claimed)], worker_id="worker")
    assert await factories.history(roles.application, task_id) == ["created", "started", "completed"]


async def test_housekeeping_makes_and_drops_months_as_the_owner(roles: Roles) -> None:
    there = await logs.months(roles.owner)
    await logs.drop_last(roles.owner)
    await partitions.create_ahead(roles.application)
    assert await logs.months(roles.owner) == there
    await execute(roles.application, f"SELECT count(*) FROM {there[-1]}")  # as pg_dump does
    old = datetime.timedelta(days=-36_500)
    dropped = [name async for name in _dropped(roles.application, old)]
    assert dropped == there
    # The role is the transaction's alone.
    with pytest.raises(sqlalchemy.exc.ProgrammingError) as raised:
        await execute(roles.application, "DROP TABLE tasks")
    assert isinstance(raised.value.orig, psycopg.errors.InsufficientPrivilege)


async def _dropped(engine: Engine, keep: datetime.timedelta) -> AsyncIterator[str]:
    while (name := await retention.drop_month(engine, keep)) is not None:
        yield name


async def test_a_migration_that_is_repeated_keeps_the_rights(roles: Roles) -> None:
    application = roles.application.url.username
    await migrate.upgrade(roles.owner, application_role=application)
    assert await factories.create(roles.application)
    with pytest.raises(sqlalchemy.exc.ProgrammingError):
        await execute(roles.application, "DELETE FROM alembic_version")
