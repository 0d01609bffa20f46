"""Brings the schema up to date: `python -m duetime_core.migrate`. Several hosts may run it at once."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Iterator

import alembic.command
import alembic.config
import alembic.runtime.migration
import alembic.script
import psycopg.errors
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import database, roles
from duetime_core.process import settings
from duetime_core.store.log import partitions, restoration

_LOCK = 0x6475657469  # "dueti": any constant


def config(connection: sa.Connection) -> alembic.config.Config:
    """Returns Alembic's configuration for `connection`."""
    configuration = alembic.config.Config()
    configuration.set_main_option("script_location", str(pathlib.Path(__file__).parent / "postgres" / "migrations"))
    configuration.attributes["connection"] = connection
    return configuration


class Settings(settings.DatabaseSettings):
    """The settings of the migrations."""

    application_role: str | None = None
    """The role of servers and workers, where it is not the one that migrates."""


async def upgrade(engine: sqlalchemy_asyncio.AsyncEngine, *, application_role: str | None = None) -> None:
    """Applies the missing migrations, each in its own transaction, and creates the log's next partitions.

    A database restored from a dump needs nothing else. `application_role`, if given, may then read and write rows.
    Raises StoreUnavailable; the migrations before the one that failed stay applied.
    """
    with database.unavailable(), _lock_explained():
        while True:
            async with _locked(engine) as connection:
                if (revision := await connection.run_sync(_first_missing)) is not None:
                    await connection.run_sync(_apply, revision)
                    continue
                await restoration.reset_transaction_ids(connection)
                if application_role is not None:
                    await roles.grant(connection, application_role)
                break
    with contextlib.suppress(errors.LogBusy):  # a backup may hold the lock: workers create them later
        await partitions.create_ahead(engine)


@contextlib.asynccontextmanager
async def _locked(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """Opens a transaction in which no other host migrates."""
    async with database.transaction(engine) as connection:
        await database.wait_indefinitely(connection)
        # First, because another host's migration may take any time.
        await connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection


def _first_missing(connection: sa.Connection) -> str | None:
    present = alembic.runtime.migration.MigrationContext.configure(connection).get_current_revision()
    scripts = alembic.script.ScriptDirectory.from_config(config(connection))
    missing = [script.revision for script in scripts.iterate_revisions("head", present or "base")]
    return missing[-1] if missing else None


def _apply(connection: sa.Connection, revision: str) -> None:
    alembic.command.upgrade(config(connection), revision)


@contextlib.contextmanager
def _lock_explained() -> Iterator[None]:
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise
        raise errors.StoreUnavailable(
            "A migration waited too long for the lock of a table and was rolled back. Stop servers and workers, wait "
            "for a running backup to end, and migrate again."
        ) from error


async def _main() -> None:
    configured = Settings.read()
    engine = database.connect(configured.database_url, pool_size=1)
    try:
        await upgrade(engine, application_role=configured.application_role)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(_main())
