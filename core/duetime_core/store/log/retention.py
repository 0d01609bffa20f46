"""Retention: deleting finished tasks, deleted schedules and old log rows in small batches.

Each batch is one statement that reads few rows and waits for no lock; interrupted, it has no effect. A statement that
deletes log rows also records what a watch would miss: the floor, below which `feed` refuses a position.
"""

import datetime
from collections.abc import AsyncIterator

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database, partition_changes

BATCH = 1000
"""How many tasks one statement reads."""
_BLOCKS = 32
"""How many blocks of the default partition one statement reads."""

# One worker at a time: a worker without the lock reads an empty page, and leaves the rest to the one that has it.
_HAS_LOCK = "(SELECT pg_try_advisory_xact_lock(hashtext('retention')))"

_RAISE_FLOOR = """
    UPDATE feed_floor SET xid = newest.xid FROM (
        SELECT forgotten.xid FROM forgotten ORDER BY forgotten.xid DESC LIMIT 1
    ) AS newest WHERE feed_floor.xid < newest.xid"""
"""Watches that have not seen the rows of the CTE `forgotten` cannot resume."""

# Their tasks and logs do not need them. All schedules are read: they are few, and no index has the deleted ones.
_DELETE_SCHEDULES = sa.text(f"""
WITH page AS MATERIALIZED (
    SELECT schedule_id, deleted_at FROM schedules WHERE schedule_id > :after AND {_HAS_LOCK}
    ORDER BY schedule_id
    LIMIT :limit
), expired AS MATERIALIZED (
    SELECT schedule_id FROM schedules
    WHERE schedule_id = ANY(ARRAY(SELECT schedule_id FROM page WHERE deleted_at < now() - CAST(:keep AS interval)))
        AND deleted_at < now() - CAST(:keep AS interval)
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM schedules WHERE schedule_id = ANY(ARRAY(SELECT schedule_id FROM expired))
    RETURNING schedule_id
)
SELECT (SELECT count(*) FROM deleted) AS deleted, count(*) AS read, max(schedule_id) AS last FROM page
""")

# A nominal time is freed with its task. But one that is still to come when its task is deleted stays taken, because a
# caller refused it: it is freed here, long after it has passed, or when its schedule is forgotten. Those of the tasks
# that are kept are not read: only the tasks that took longer than the retention have older ones.
_FREE_TIMES = sa.text(f"""
WITH RECURSIVE ids AS (
    (SELECT schedule_id, 1 AS number FROM nominal_times WHERE schedule_id > :after AND {_HAS_LOCK}
    ORDER BY schedule_id LIMIT 1)
    UNION ALL
    SELECT following.schedule_id, number + 1 FROM ids CROSS JOIN LATERAL (
        SELECT schedule_id FROM nominal_times WHERE schedule_id > ids.schedule_id ORDER BY schedule_id LIMIT 1
    ) AS following
    WHERE number < :limit
), old AS MATERIALIZED (
    SELECT nominal_times.* FROM ids CROSS JOIN LATERAL (
        SELECT * FROM nominal_times AS past
        WHERE past.schedule_id = ids.schedule_id AND past.nominal_time < now() - 2 * CAST(:keep AS interval)
            AND NOT EXISTS (
                SELECT FROM schedules
                WHERE schedules.schedule_id = past.schedule_id AND next_nominal_time = past.nominal_time
            )
        UNION ALL
        SELECT * FROM nominal_times AS ahead
        WHERE ahead.schedule_id = ids.schedule_id AND ahead.nominal_time >= now()
            AND NOT EXISTS (SELECT FROM schedules WHERE schedules.schedule_id = ids.schedule_id)
    ) AS nominal_times
), freed AS (
    DELETE FROM nominal_times USING old
    WHERE nominal_times.schedule_id = old.schedule_id AND nominal_times.nominal_time = old.nominal_time
        AND NOT EXISTS (SELECT FROM tasks WHERE tasks.task_id = old.task_id)
        AND NOT EXISTS (SELECT FROM ended_tasks WHERE ended_tasks.task_id = old.task_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM freed) AS deleted, count(*) AS read, max(schedule_id) AS last FROM ids
""")

# No index has the default partition's times: it is scanned, a few blocks per statement.
_DELETE_STRAYS = sa.text(f"""
WITH forgotten AS (
    DELETE FROM task_logs_default
    WHERE ctid >= CAST(format('(%s,0)', CAST(:block AS bigint)) AS tid)
        AND ctid < CAST(format('(%s,0)', CAST(:block AS bigint) + {_BLOCKS}) AS tid)
        AND timestamp < now() - CAST(:keep AS interval) AND {_HAS_LOCK}
    RETURNING xid
), raised AS ({_RAISE_FLOOR}
)
SELECT (SELECT count(*) FROM forgotten) AS deleted,
    pg_relation_size('task_logs_default') / CAST(current_setting('block_size') AS bigint) AS blocks
""")

_DELETE_OTHER_LOGS = [
    sa.text(f"""
        DELETE FROM {table} WHERE log_id = ANY(ARRAY(
            SELECT log_id FROM {table} WHERE timestamp < now() - CAST(:keep AS interval) AND {_HAS_LOCK}
            ORDER BY timestamp LIMIT :limit
        ))
    """)
    for table in ("schedule_logs", "queue_logs")
]

_OLDEST = sa.text("""
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = CAST('task_logs' AS regclass) AND relname ~ '^task_logs_y[0-9]{4,}m[0-9]{2}$'
    AND to_date(substr(relname, 11), '"y"YYYY"m"MM') + interval '1 month' <= now() - CAST(:keep AS interval)
ORDER BY relname LIMIT 1
""")


def delete_schedules(engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta) -> AsyncIterator[int]:
    """Deletes schedules that were deleted by a caller for `keep`; yields how many each batch deleted."""
    return _by_schedule(engine, _DELETE_SCHEDULES, keep)


def free_times(engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta) -> AsyncIterator[int]:
    """Frees the nominal times of refused occurrences whose tasks are deleted; yields how many each batch freed."""
    return _by_schedule(engine, _FREE_TIMES, keep)


async def _by_schedule(
    engine: sqlalchemy_asyncio.AsyncEngine, statement: sa.TextClause, keep: datetime.timedelta
) -> AsyncIterator[int]:
    """Executes a statement for the schedules after each other; yields how many rows each batch deleted."""
    after, read = 0, BATCH
    while read == BATCH:
        with database.unavailable():
            async with engine.connect() as connection:
                parameters = {"keep": keep, "after": after, "limit": BATCH}
                batch = (await connection.execute(statement, parameters)).one()
        after, read = batch.last, batch.read
        yield batch.deleted


async def delete_strays(engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta) -> AsyncIterator[int]:
    """Deletes the default partition's rows that are older than `keep`; yields how many each batch deleted."""
    block, blocks = 0, 1
    while block < blocks:
        with database.unavailable():
            async with engine.connect() as connection:
                batch = (await connection.execute(_DELETE_STRAYS, {"keep": keep, "block": block})).one()
        block, blocks = block + _BLOCKS, batch.blocks
        yield batch.deleted


async def delete_other_logs(engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta) -> AsyncIterator[int]:
    """Deletes rows of schedules' and queues' logs older than `keep`; yields how many each batch deleted."""
    for statement in _DELETE_OTHER_LOGS:
        deleted = BATCH
        while deleted == BATCH:
            with database.unavailable():
                async with engine.connect() as connection:
                    result = await connection.execute(statement, {"keep": keep, "limit": BATCH})
            deleted = result.rowcount
            yield deleted


async def drop_month(engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta) -> str | None:
    """Drops the oldest of the log's partitions that are wholly older than `keep`; returns its name, or None.

    Raises LogBusy if another transaction holds a lock.
    """
    async with partition_changes.begin(engine) as connection:
        name: str | None = (await connection.execute(_OLDEST, {"keep": keep})).scalar()
        if name is not None:
            raise_floor = f"WITH forgotten AS (SELECT xid FROM {name} ORDER BY xid DESC LIMIT 1) {_RAISE_FLOOR}"
            await connection.execute(sa.text(raise_floor))
            # The log as a whole comes last: while this waits for readers of a partition, writes do not wait.
            lock = f"LOCK TABLE {name}, task_logs_default, ONLY task_logs IN ACCESS EXCLUSIVE MODE"
            await connection.execute(sa.text(lock))
            await connection.execute(sa.text(f"DROP TABLE {name}"))
        return name
