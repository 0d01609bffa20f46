"""The monthly partitions of the log, created before they are needed."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import partition_changes

MONTHS_AHEAD = 3
"""Where no worker ran for longer, rows go to the default partition: deleted more slowly, but none is lost."""

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
    async with partition_changes.begin(engine) as connection:
        await connection.execute(_CREATE)
