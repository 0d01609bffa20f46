"""Brings the schema up to date: `python -m duetime_core.migrate`. Several hosts may run it at once."""

import argparse
import asyncio
import contextlib
import datetime
import pathlib
from collections.abc import AsyncIterator, Sequence

import alembic.command
import alembic.config
import alembic.operations
import alembic.runtime.migration
import alembic.script
import sqlalchemy as sa
import sqlalchemy.exc
import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import database, roles, table_locks
from duetime_core.process import logging, settings, teardown
from duetime_core.store.log import marks, partitions, restoration
from duetime_core.store.tasks import history

_LOCK = 0x6475657469  # "dueti": any constant
_POLL_SECONDS = 0.5
_SHORTEST_DELAY, _LONGEST_DELAY = 0.5, 15.0

_log = structlog.get_logger()


def config(connection: sa.Connection | None = None) -> alembic.config.Config:
    """Returns Alembic's configuration for `connection`."""
    configuration = alembic.config.Config()
    configuration.set_main_option("script_location", str(pathlib.Path(__file__).parent / "postgres" / "migrations"))
    configuration.attributes["connection"] = connection
    return configuration


class Settings(settings.DatabaseSettings):
    """The settings of the migrations."""

    application_role: str | None = None
    """The role of servers and workers, where it is not the one that migrates."""
    task_retention: settings.Retention = history.DEFAULT_RETENTION
    """How long workers keep finished tasks: partitions are made for as long."""


async def upgrade(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    application_role: str | None = None,
    task_retention: datetime.timedelta = history.DEFAULT_RETENTION,
) -> None:
    """Applies the missing migrations and creates the next partitions of the log and of finished tasks.

    Each migration is a transaction of its own, and is repeated until it gets its locks. A database restored from a dump
    needs nothing else. `application_role`, if given, may then read and write rows. Raises StoreUnavailable; the
    migrations before the one that failed stay applied.
    """
    with database.unavailable():
        async with _alone(engine) as connection:
            await _set_retention(connection, task_retention)
            await _apply_missing(connection, "head")
            async with _transaction(connection):
                await restoration.reset_transaction_ids(connection)
                if application_role is not None:
                    await roles.grant(connection, application_role)
    for _ in range(2):  # the history of a database that is new, or was restored, and its first mark
        await marks.note(engine)
    with contextlib.suppress(errors.LogBusy):  # a backup may hold the lock: workers create them later
        await partitions.create_ahead(engine)
        await history.create_ahead(engine, task_retention)


async def prepare(
    engine: sqlalchemy_asyncio.AsyncEngine, *, task_retention: datetime.timedelta = history.DEFAULT_RETENTION
) -> str | None:
    """Does what can be done while servers and workers of the release before run, and returns the revision that is left.

    It applies the missing migrations before the first one that stops them, and prepares that one. Raises
    StoreUnavailable.
    """
    with database.unavailable():
        async with _alone(engine) as connection:
            await _set_retention(connection, task_retention)
            for script in await connection.run_sync(_missing, "head"):
                if getattr(script.module, "stops", False):
                    await _with_locks(connection, script, is_applied=False)
                    return script.revision
                await _with_locks(connection, script, is_applied=True)
    return None


async def upgrade_to(engine: sqlalchemy_asyncio.AsyncEngine, revision: str) -> None:
    """Applies the missing migrations up to that one, and nothing else. Raises StoreUnavailable."""
    with database.unavailable():
        async with _alone(engine) as connection:
            await _apply_missing(connection, revision)


async def missing(engine: sqlalchemy_asyncio.AsyncEngine) -> list[str]:
    """Returns the revisions that are to be applied, the next one first. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            return [script.revision for script in await connection.run_sync(_missing, "head")]


async def run(chosen: Settings) -> None:
    """Applies the missing migrations, as `upgrade` does, with these settings. Raises StoreUnavailable."""
    async with _connected(chosen) as engine:
        await upgrade(engine, application_role=chosen.application_role, task_retention=chosen.task_retention)


@contextlib.asynccontextmanager
async def _connected(chosen: Settings) -> AsyncIterator[sqlalchemy_asyncio.AsyncEngine]:
    engine = database.connect(chosen.database_url, pool_size=1)
    try:
        yield engine
    finally:
        await engine.dispose()


@contextlib.asynccontextmanager
async def _alone(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """Opens a connection while no other host migrates."""
    async with engine.connect() as connection:
        await database.wait_indefinitely(connection)
        try:
            await connection.execute(sa.text("SET statement_timeout = 0"))
            # Not waiting within a statement: its snapshot would keep the other host's index builds waiting.
            if not await _try_lock(connection):
                _log.info("waiting for the migrations of another process")
                while not await _try_lock(connection):  # noqa: ASYNC110 - PostgreSQL has no event for it
                    await asyncio.sleep(_POLL_SECONDS)
            yield connection
        finally:
            await connection.invalidate()  # closes it, and so ends the lock and the settings of its session


async def _try_lock(connection: sqlalchemy_asyncio.AsyncConnection) -> bool:
    # For the session, because an index is built outside a transaction. If this process dies meanwhile, PostgreSQL
    # keeps the lock until the build has ended.
    return bool((await connection.execute(sa.text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK})).scalar_one())


@contextlib.asynccontextmanager
async def _transaction(connection: sqlalchemy_asyncio.AsyncConnection) -> AsyncIterator[None]:
    await connection.commit()  # of nothing: the connection is in autocommit
    await connection.execution_options(isolation_level="READ COMMITTED")
    try:
        async with connection.begin():
            yield
    finally:
        if not connection.invalidated:
            await connection.execution_options(isolation_level="AUTOCOMMIT")


async def _apply_missing(connection: sqlalchemy_asyncio.AsyncConnection, target: str) -> None:
    for script in await connection.run_sync(_missing, target):
        await _with_locks(connection, script, is_applied=True)


async def _set_retention(connection: sqlalchemy_asyncio.AsyncConnection, keep: datetime.timedelta) -> None:
    # For migrations that create partitions.
    statement = sa.text("SELECT set_config('duetime.task_retention_days', :days, false)")
    await connection.execute(statement, {"days": str(keep.days)})


def _missing(connection: sa.Connection, target: str) -> list[alembic.script.Script]:
    present = alembic.runtime.migration.MigrationContext.configure(connection).get_current_revision()
    scripts = alembic.script.ScriptDirectory.from_config(config(connection))
    return [*scripts.iterate_revisions(target, present or "base")][::-1]


async def _with_locks(
    connection: sqlalchemy_asyncio.AsyncConnection, script: alembic.script.Script, *, is_applied: bool
) -> None:
    """Prepares and applies one migration, repeated with increasing delays while others hold what it must lock."""
    tables: Sequence[str] = getattr(script.module, "locks", ())
    delay = _SHORTEST_DELAY
    while True:
        try:
            await connection.run_sync(_prepare, script)
            if not is_applied:
                return
            async with _transaction(connection):
                await connection.run_sync(table_locks.take, tables)
                await connection.run_sync(lambda sync: alembic.command.upgrade(config(sync), script.revision))
        except sqlalchemy.exc.DBAPIError as error:
            if not table_locks.is_busy(error):
                raise
        else:
            _log.info("migration applied", revision=script.revision)
            return
        _log.warning(
            "migration waits for the lock of a table, and lets others go first",
            revision=script.revision,
            tables=",".join(tables),
            held_by=await connection.run_sync(table_locks.holders, tables) or "nobody any more",
            retry_seconds=delay,
        )
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY)


def _prepare(connection: sa.Connection, script: alembic.script.Script) -> None:
    if prepare := getattr(script.module, "prepare", None):
        context = alembic.runtime.migration.MigrationContext.configure(connection)
        with alembic.operations.Operations.context(context):
            prepare()


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m duetime_core.migrate", description="Brings the schema up to date.")
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="do only what can be done while servers and workers of the release before run",
    )
    given = parser.parse_args()
    logging.configure()
    teardown.configure()
    configured = Settings.read()
    if not given.prepare:
        await run(configured)
        return
    async with _connected(configured) as engine:
        revision = await prepare(engine, task_retention=configured.task_retention)
    _log.info("migrations prepared", left=revision or "none")


if __name__ == "__main__":
    asyncio.run(_main())
