"""Changing the partitions of tables: their locks, and who may."""

import contextlib
import datetime
from collections.abc import AsyncIterator

import psycopg.errors
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import database

LOCK_TIMEOUT = datetime.timedelta(milliseconds=100)
"""How long to wait for a lock. A waiting lock request blocks all later ones, and a backup may hold the lock for hours:
fail, and retry later."""

_BEGIN = sa.text("""
SELECT set_config('lock_timeout', :milliseconds, true),
    -- Only its owner may alter a table. Another role of servers and workers must be a member of the owner.
    (SELECT set_config('role', pg_get_userbyid(relowner), true) FROM pg_class
        WHERE oid = to_regclass('task_logs') AND NOT pg_has_role(relowner, 'USAGE')),
    -- One process at a time changes the partitions.
    pg_advisory_xact_lock(hashtext('task_logs partitions'))
""")


@contextlib.asynccontextmanager
async def begin(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """Opens a transaction to change partitions. Raises LogBusy if a lock is not free within LOCK_TIMEOUT."""
    with database.unavailable():
        try:
            async with database.transaction(engine) as connection:
                milliseconds = LOCK_TIMEOUT // datetime.timedelta(milliseconds=1)
                await connection.execute(_BEGIN, {"milliseconds": str(milliseconds)})
                yield connection
        except sqlalchemy.exc.OperationalError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise errors.LogBusy from error
            raise
