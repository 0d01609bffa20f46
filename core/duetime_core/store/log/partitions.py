"""The monthly partitions of the log, created before they are needed."""

import contextlib
import datetime
from collections.abc import AsyncIterator

import psycopg.errors
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import database

MONTHS_AHEAD = 3
"""Where no worker ran for longer, rows go to the default partition: deleted more slowly, but none is lost."""

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

# CREATE TABLE … PARTITION OF would lock the whole log against everything. This blocks no write, because writes lock
# only the log and their month's partition. It locks the default partition exclusively, to check that it has no rows of
# the month, so reads wait meanwhile.
_CREATE = sa.text(f"""
DO $$
DECLARE
    first date := date_trunc('month', now());
    month date;
    partition text;
BEGIN
    FOR ahead IN 0..{MONTHS_AHEAD} LOOP
        month := first + make_interval(months => ahead);
        partition := to_char(month, '"task_logs_y"YYYY"m"MM');
        IF to_regclass(partition) IS NULL THEN
            BEGIN
                EXECUTE format(
                    'CREATE TABLE %I (LIKE task_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)',
                    partition);
                EXECUTE format(
                    'ALTER TABLE task_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    partition, month, (month + interval '1 month')::date);
            EXCEPTION WHEN check_violation THEN
                NULL; -- The default partition has rows of this month already: it keeps the month.
            END;
        END IF;
    END LOOP;
END $$
""")


async def create_ahead(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    """Creates the missing partitions of this month and the next MONTHS_AHEAD.

    Raises LogBusy, having created none, if another transaction holds a lock.
    """
    async with changing(engine) as connection:
        await connection.execute(_CREATE)


@contextlib.asynccontextmanager
async def changing(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
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
