"""Brings the schema up to date: `python -m duetime_core.migrate`. Several hosts may run it at once."""

import asyncio
import contextlib
import pathlib

import alembic.command
import alembic.config
import sqlalchemy as sa
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
    """Applies the missing migrations in one transaction, and creates the log's next partitions.

    A database restored from a dump needs nothing else. `application_role`, if given, may then read and write rows.
    Raises StoreUnavailable.
    """
    with database.unavailable():
        async with database.transaction(engine) as connection:
            await database.wait_indefinitely(connection)
            # First, because another host's migration may take any time.
            await connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(lambda sync: alembic.command.upgrade(config(sync), "head"))
            await restoration.reset_transaction_ids(connection)
            if application_role is not None:
                await roles.grant(connection, application_role)
    with contextlib.suppress(errors.LogBusy):  # a backup may hold the lock: workers create them later
        await partitions.create_ahead(engine)


async def _main() -> None:
    configured = Settings.read()
    engine = database.connect(configured.database_url, pool_size=1)
    try:
        await upgrade(engine, application_role=configured.application_role)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(_main())
