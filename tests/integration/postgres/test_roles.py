"""Servers and workers whose role does not own the tables."""

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
from duetime_core.store.audit import retention as audit_retention
from duetime_core.store.log import partitions, retention
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.support import audit, factories, keys, logs

Engine = sqlalchemy_asyncio.AsyncEngine


async def execute(engine: Engine, statement: str) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text(statement))


@dataclasses.dataclass(frozen=True)
class Roles:
    """Engines on one database, as its owner and as the application."""

    owner: Engine
    application: Engine


@pytest_asyncio.fixture
async def roles(admin: Engine) -> AsyncIterator[Roles]:
    """A migrated database with one role for its owner and one for servers and workers, neither a superuser."""
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


async def test_audit_events_can_be_added_but_neither_changed_nor_deleted(roles: Roles) -> None:
    token, _ = await keys.create(roles.application)
    for statement in ("UPDATE audit_events SET actor = 'nobody'", "DELETE FROM audit_events", "TRUNCATE audit_events"):
        with pytest.raises(sqlalchemy.exc.ProgrammingError) as refused:
            await execute(roles.application, statement)
        assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)
    (event,) = await audit.events(roles.application)
    assert event.key_id == token.key_id
    await execute(roles.owner, "UPDATE audit_events SET timestamp = '2000-01-01'")
    assert [count async for count in audit_retention.delete(roles.application, datetime.timedelta(days=1))] == [1]


async def test_a_task_runs_with_privileges_on_rows_alone(roles: Roles) -> None:
    task_id = await factories.create(roles.application)
    (claimed,) = await factories.claim(roles.application)
    await task_outcomes.record(roles.application, [factories.outcome(claimed)], worker_id="worker")
    assert await factories.history(roles.application, task_id) == ["created", "started", "completed"]


async def test_maintenance_creates_and_drops_partitions_as_the_owner(roles: Roles) -> None:
    months = await logs.drop_last(roles.owner)
    await partitions.create_ahead(roles.application)
    assert await logs.months(roles.owner) == months
    await execute(roles.application, f"SELECT count(*) FROM {months[-1]}")  # as pg_dump does
    old = datetime.timedelta(days=-36_500)
    dropped = [name async for name in _dropped(roles.application, old)]
    assert dropped == months
    # The owner's role was set for that transaction alone.
    with pytest.raises(sqlalchemy.exc.ProgrammingError) as raised:
        await execute(roles.application, "DROP TABLE tasks")
    assert isinstance(raised.value.orig, psycopg.errors.InsufficientPrivilege)


async def _dropped(engine: Engine, keep: datetime.timedelta) -> AsyncIterator[str]:
    while (name := await retention.drop_month(engine, keep)) is not None:
        yield name


async def test_a_repeated_migration_keeps_the_privileges(roles: Roles) -> None:
    application = roles.application.url.username
    await migrate.upgrade(roles.owner, application_role=application)
    assert await factories.create(roles.application)
    with pytest.raises(sqlalchemy.exc.ProgrammingError):
        await execute(roles.application, "DELETE FROM alembic_version")
