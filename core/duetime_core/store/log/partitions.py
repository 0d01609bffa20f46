"""The monthly partitions of the log, made before they are needed."""

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
"""A deployment in which no worker ran for so long writes into the default partition: slower to drop, nothing lost."""

PATIENCE = datetime.timedelta(milliseconds=100)
"""How long to wait for a lock. Whoever waits for one has everybody wait who comes later, and a backup may hold it
for hours: better to give up, and to try again later."""

_BEGIN = sa.text("""
SELECT set_config('lock_timeout', :milliseconds, true),
    -- Only the owner of a table may change it. Servers and workers may have another role, which has to be a member.
    (SELECT set_config('role', pg_get_userbyid(relowner), true) FROM pg_class
        WHERE oid = to_regclass('task_logs') AND NOT pg_has_role(relowner, 'USAGE')),
    -- Only one at a time works on the partitions.
    pg_advisory_xact_lock(hashtext('task_logs partitions'))
""")

# CREATE TABLE … PARTITION OF would lock the whole log against everything. This holds up no write at all, because
# those lock the log and their own month's partition only; it needs the default partition for itself, to see that it
# has no rows of the month, and so reads wait meanwhile.
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
    """Makes the partitions of this month and the next MONTHS_AHEAD, where they are missing.

    Raises LogBusy, having made none, if somebody is in the way.
    """
    async with changing(engine) as connection:
        await connection.execute(_CREATE)


@contextlib.asynccontextmanager
async def changing(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """Opens a transaction that changes partitions, in which waiting longer than PATIENCE for a lock raises LogBusy."""
    with database.unavailable():
        try:
            async with database.transaction(engine) as connection:
                await connection.execute(_BEGIN, {"milliseconds": str(PATIENCE // datetime.timedelta(milliseconds=1))})
                yield connection
        except sqlalchemy.exc.OperationalError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise errors.LogBusy from error
            raise
