"""Filling a database with pending and finished tasks, directly in SQL.

Ten million creates would take an hour. The rows are the same that Duetime writes for its client's creates: with a
request id, and with their history in the log. A real database differs in two points: its log comes from many more
transactions, and each finished task has left two dead row versions behind, which vacuum has removed.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import shutil
from collections.abc import AsyncIterator

import psycopg

from bench import harness
from duetime_core.postgres import database
from duetime_core.store.log import partitions
from duetime_core.store.tasks import history
from tests.support import backlogs

_CHUNK = 100_000
_FINISHED_SINCE = datetime.timedelta(days=20)
_BYTES_PER_PAIR = 2_500
"""The disk space of one pending and one finished task, with a margin for the write-ahead log."""

# Fixed values, so that all sizes have the same kind of task.
_VALUES = {
    "task_data": """'{"to": "ada@example.com", "subject": "hello"}'""",
    "request_id": "CAST(gen_random_uuid() AS text)",
    "request_digest": "gen_random_uuid()",
}
# At random times, like tasks created in any order.
_LATER = backlogs.made(
    "generate_series(1, %(upto)s - %(first)s)",
    **_VALUES,
    execution_time="now() + interval '1 day' + random() * interval '1 year'",
)
_PENDING = f"""
WITH {_LATER}
INSERT INTO task_logs (task_id, version, status, change, execution_time, retry_count, actor)
SELECT task_id, 1, 'pending', 'created', execution_time, 0, 'api' FROM made
"""
# In this month, for which the log has a partition, and too recent for retention.
_EARLIER = backlogs.made(
    f"""greatest(date_trunc('month', now()), now() - interval '{_FINISHED_SINCE.days} days') AS since,
        generate_series(%(first)s::bigint, %(upto)s - 1) AS number,
        LATERAL (SELECT since + (now() - since) * (number / %(count)s::float8) AS due) AS moment""",
    **_VALUES,
    status="'completed'",
    execution_time="due",
    version="3",
    created_at="due",
    executed_at="due + interval '10 ms'",
    updated_at="due + interval '15 ms'",
)
_FINISHED = f"""
WITH {_EARLIER}
INSERT INTO task_logs (task_id, version, status, change, timestamp, duration, execution_time, retry_count, actor)
SELECT task_id, version, status, change, happened, duration, execution_time, 0, actor
FROM (SELECT task_id, execution_time, executed_at, updated_at FROM made) AS made, LATERAL (VALUES
    (1, 'pending', 'created', execution_time, NULL, 'api'),
    (2, 'running', 'started', executed_at, NULL, 'worker'),
    (3, 'completed', 'completed', updated_at, interval '1 ms', 'worker')
) AS change (version, status, change, happened, duration, actor)
"""
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tasks' AND indexname <> 'tasks_pkey'
"""
_SIZES = """
SELECT pg_total_relation_size('tasks')::float8,
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('task_logs'))::float8
"""
_SETTINGS = """
SET timezone = 'UTC'; SET synchronous_commit = off; SET maintenance_work_mem = '512MB'
"""


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of a pending task in PostgreSQL, in bytes."""

    task: float
    """Its row and its entries in all indexes."""
    log: float
    """The same for its log, which has one row until it runs."""


async def fill(session: harness.Session, count: int) -> str:
    """Returns the name of a new database with `count` pending and `count` finished tasks.

    Its indexes are created after the rows, which takes a quarter less time for a million. So they are denser than
    indexes that grow with the table.
    """
    _require_room(session, count * _BYTES_PER_PAIR)
    name = await _new_database(session)
    url = session.postgres.url(name)
    async with _connect(url) as connection:
        indexes = await (await connection.execute(_INDEXES)).fetchall()
        for index, _ in indexes:
            await connection.execute(f"DROP INDEX {index}".encode())
        await asyncio.gather(_insert(url, _PENDING, count), _insert(url, _FINISHED, count))
        for _, definition in indexes:
            await connection.execute(definition.encode())
        stray = await (await connection.execute("SELECT FROM ended_tasks_default LIMIT 1")).fetchone()
        assert stray is None, "finished tasks are in the default partition"
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    return name


async def size(session: harness.Session, count: int) -> Size:
    """Returns the size of a pending task among `count`, with indexes that grew with the table."""
    name = await _new_database(session)
    url = session.postgres.url(name)
    await _insert(url, _PENDING, count)
    async with _connect(url) as connection:
        row = await (await connection.execute(_SIZES)).fetchone()
    assert row is not None
    return Size(row[0] / count, row[1] / count)


async def _new_database(session: harness.Session) -> str:
    name = await session.postgres.new_database()
    engine = database.connect(session.postgres.url(name), pool_size=1)
    # As workers would have; impossible once the default partitions have rows.
    await partitions.create_ahead(engine)
    await history.create_ahead(engine, history.DEFAULT_RETENTION, past=_FINISHED_SINCE)
    await engine.dispose()
    return name


async def _insert(url: str, statement: str, count: int) -> None:
    async with _connect(url) as connection:
        for first in range(0, count, _CHUNK):
            bounds = {"first": first, "upto": min(first + _CHUNK, count), "count": count}
            await connection.execute(statement.encode(), bounds)


@contextlib.asynccontextmanager
async def _connect(url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(_SETTINGS)
        yield connection


def _require_room(session: harness.Session, size: int) -> None:
    free = shutil.disk_usage(session.directory).free
    if free < size:
        raise RuntimeError(
            f"{session.directory} has {free / 1e9:.0f} GB of free space, but this benchmark needs {size / 1e9:.0f} GB: "
            "set TMPDIR to a larger file system"
        )
