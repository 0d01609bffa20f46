"""The monthly partitions of the log, made before they are needed."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import database

MONTHS_AHEAD = 3
"""A deployment in which no worker ran for so long writes into the default partition: slower to drop, nothing lost."""

_CREATE = sa.text(f"""
DO $$
DECLARE
    first date := date_trunc('month', now());
    month date;
    partition text;
BEGIN
    -- The lock keeps two workers from making the same one; whoever comes second finds it made.
    PERFORM pg_advisory_xact_lock(hashtext('task_logs partitions'));
    FOR ahead IN 0..{MONTHS_AHEAD} LOOP
        month := first + make_interval(months => ahead);
        partition := to_char(month, '"task_logs_y"YYYY"m"MM');
        -- Asked first, because CREATE TABLE … PARTITION OF locks the whole log, even where there is nothing to make.
        IF to_regclass(partition) IS NULL THEN
            BEGIN
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF task_logs FOR VALUES FROM (%L) TO (%L)',
                    partition, month, (month + interval '1 month')::date);
            EXCEPTION WHEN check_violation THEN
                NULL; -- The default partition has rows of this month already: it keeps the month.
            END;
        END IF;
    END LOOP;
END $$
""")


async def create_ahead(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    """Makes the partitions of this month and the next MONTHS_AHEAD, where they are missing."""
    with database.unavailable():
        async with engine.connect() as connection:
            await connection.execute(_CREATE)
