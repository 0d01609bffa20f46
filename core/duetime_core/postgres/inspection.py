"""What kind of PostgreSQL there is, and which promises its settings keep."""

import dataclasses

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database

OLDEST = 150_000
"""The oldest release that is supported, as PostgreSQL numbers it."""

_READ = sa.text("""
SELECT current_setting('server_version_num')::integer AS release, current_setting('server_version') AS version,
    pg_is_in_recovery() AS is_replica, current_setting('fsync')::boolean AS flushes,
    current_setting('full_page_writes')::boolean AS writes_full_pages,
    current_setting('synchronous_commit') AS synchronous_commit
""")


@dataclasses.dataclass(frozen=True)
class Server:
    """A PostgreSQL server, as one of our sessions sees it."""

    release: int
    version: str
    is_replica: bool
    flushes: bool
    writes_full_pages: bool
    synchronous_commit: str


async def read(engine: sqlalchemy_asyncio.AsyncEngine) -> Server:
    """Returns what the server says of itself. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            return Server(*(await connection.execute(_READ)).one())
