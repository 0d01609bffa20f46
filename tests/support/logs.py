"""The log's partitions, and a long reader of the log, such as a backup."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database
from duetime_core.store.log import partitions

Engine = sqlalchemy_asyncio.AsyncEngine


async def months(engine: Engine) -> list[str]:
    """Returns the names of the monthly partitions, oldest first."""
    names = sa.text("""
        SELECT CAST(CAST(inhrelid AS regclass) AS text) FROM pg_inherits
        WHERE inhparent = CAST('task_logs' AS regclass) AND inhrelid <> CAST('task_logs_default' AS regclass)
        ORDER BY 1
    """)
    async with engine.connect() as connection:
        return list((await connection.execute(names)).scalars())


async def drop_last(engine: Engine) -> list[str]:
    """Drops the newest monthly partition; returns the names of those that were there."""
    await partitions.create_ahead(engine)  # the template may be of the month before
    there = await months(engine)
    async with engine.connect() as connection:
        await connection.execute(sa.text(f"DROP TABLE {there[-1]}"))
    return there


async def add_month(engine: Engine, month: datetime.date) -> str:
    """Creates the partition of a past month with a row in it, and returns its name."""
    name = f"task_logs_y{month.year}m{month.month:02}"
    following = (month + datetime.timedelta(days=31)).replace(day=1)
    async with engine.connect() as connection:
        bounds = f"FROM ('{month}') TO ('{following}')"
        await connection.execute(sa.text(f"CREATE TABLE {name} PARTITION OF task_logs FOR VALUES {bounds}"))
        columns = "task_id, version, status, change, timestamp, execution_time, retry_count, actor"
        row = f"(1, 1, 'pending', 'created', '{following - datetime.timedelta(days=1)}', now(), 0, 'api')"
        await connection.execute(sa.text(f"INSERT INTO task_logs ({columns}) VALUES {row}"))
    return name


@contextlib.asynccontextmanager
async def reading(engine: Engine) -> AsyncIterator[None]:
    """Holds a transaction open that has read the log."""
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SELECT FROM task_logs LIMIT 1"))
        yield


async def waits_for_a_lock(engine: Engine, *, waiters: int = 1) -> None:
    """Returns once so many sessions of this database wait for a lock on a table."""
    waiting = sa.text("""
        SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE datname = current_database() AND locktype = 'relation' AND NOT granted
    """)
    async with asyncio.timeout(20), engine.connect() as connection:
        while (await connection.execute(waiting)).scalar_one() < waiters:
            pass


async def waits_for_a_row(engine: Engine, *, waiters: int = 1) -> None:
    """Returns once so many sessions of this database wait for a transaction that has changed a row."""
    waiting = sa.text("""
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event IN ('transactionid', 'tuple')
    """)
    async with asyncio.timeout(20), engine.connect() as connection:
        while (await connection.execute(waiting)).scalar_one() < waiters:
            pass
