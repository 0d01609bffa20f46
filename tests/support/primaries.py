"""A PostgreSQL server of a test's own, whose commits can be made to wait for a standby that is not there."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import errors
from duetime_core.postgres import confirmation, database
from tests.support import postgres

_LIMIT_SECONDS = 30
_WAITING = sa.text("SELECT count(*) FROM pg_stat_activity WHERE :event IN (wait_event, wait_event_type)")
_TERMINATE = sa.text("SELECT pg_terminate_backend(:pid)")


class Primary:
    """Its database `postgres` is migrated; `url` is its address, for the superuser."""

    def __init__(self, server: postgres.Postgres) -> None:
        self.server = server
        self.url = server.url
        self._admin = database.connect(server.url, pool_size=1)

    async def set(self, name: str, value: str) -> None:
        """Changes a setting of the server."""
        async with self._admin.connect() as connection:
            await connection.execute(sa.text(f"ALTER SYSTEM SET {name} = '{value}'"))
            await connection.execute(sa.text("SELECT pg_reload_conf()"))
            shown = None
            while shown != value:  # the setting of a session changes between two statements
                shown = await connection.scalar(sa.text(f"SHOW {name}"))

    @contextlib.asynccontextmanager
    async def without_standby(self) -> AsyncIterator[None]:
        """Has all commits wait for a standby during the block."""
        await self.set("synchronous_standby_names", "nobody")
        try:
            await self._until_commits_wait()
            yield
        finally:
            await self.set("synchronous_standby_names", "")

    async def _until_commits_wait(self) -> None:
        """Returns once PostgreSQL, whose checkpointer has to notice the setting, has taken it up."""
        probe = database.connect(self.url, pool_size=1)
        async with probe.connect() as connection:
            pid = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
        committing = asyncio.create_task(_commit_repeatedly(probe))
        await self.until(f"SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = {pid}")
        async with self._admin.connect() as connection:
            await connection.execute(_TERMINATE, {"pid": pid})
        await asyncio.wait([committing])
        await probe.dispose()

    async def count(self, event: str) -> int:
        """Returns how many backends wait for that event, or for one of that type: `SyncRep` is the standby's answer."""
        async with self._admin.connect() as connection:
            return int(await connection.scalar(_WAITING, {"event": event}) or 0)

    async def wait_for(self, event: str, count: int) -> None:
        """Returns once that many backends wait for it."""
        async with asyncio.timeout(_LIMIT_SECONDS):
            while await self.count(event) != count:
                pass

    async def until(self, condition: str) -> None:
        """Returns once that query returns true."""
        async with asyncio.timeout(_LIMIT_SECONDS), self._admin.connect() as connection:
            while not await connection.scalar(sa.text(condition)):
                pass

    async def dispose(self) -> None:
        """Closes its own connection."""
        await self._admin.dispose()


async def _commit_repeatedly(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    with contextlib.suppress(errors.StoreUnavailable):
        while True:
            await confirmation.wait(engine)


@contextlib.asynccontextmanager
async def running(directory: pathlib.Path) -> AsyncIterator[Primary]:
    """Runs one in that directory, whose path is short, during the block."""
    server = postgres.Postgres(directory)
    try:
        engine: sqlalchemy_asyncio.AsyncEngine = database.connect(server.url, pool_size=1)
        await migrate.upgrade(engine)
        await engine.dispose()
        primary = Primary(server)
        yield primary
        await primary.dispose()
    finally:
        server.kill()
