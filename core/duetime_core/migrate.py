"""Brings the schema up to date. `python -m duetime_core.migrate` does so, and may run on several hosts at once."""

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

_LOCK = 0x6475657469  # "dueti": any number that is always the same


def config(connection: sa.Connection) -> alembic.config.Config:
    """Returns Alembic's configuration to run on `connection`."""
    configuration = alembic.config.Config()
    configuration.set_main_option("script_location", str(pathlib.Path(__file__).parent / "postgres" / "migrations"))
    configuration.attributes["connection"] = connection
    return configuration


class Settings(settings.DatabaseSettings):
    """What the migrations need to know besides."""

    application_role: str | None = None
    """The role of servers and workers, where that is another than the one that migrates."""


async def upgrade(engine: sqlalchemy_asyncio.AsyncEngine, *, application_role: str | None = None) -> None:
    """Applies, in one transaction, the migrations that are missing, and makes the log's next partitions.

    A database that was restored from a dump needs nothing else. The application's role, if one is named, may read and
    write rows afterwards. Raises StoreUnavailable.
    """
    with database.unavailable():
        async with database.transaction(engine) as connection:
            await database.be_patient(connection)
            # First, because waiting for another host's migration takes as long as that does.
            await connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(lambda sync: alembic.command.upgrade(config(sync), "head"))
            await restoration.settle(connection)
            if application_role is not None:
                await roles.grant(connection, application_role)
    with contextlib.suppress(errors.LogBusy):  # a backup may be in the way: the workers make them later
        await partitions.create_ahead(engine)


async def _main() -> None:
    chosen = Settings.read()
    engine = database.connect(chosen.database_url, pool_size=1)
    try:
        await upgrade(engine, application_role=chosen.application_role)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(_main())
