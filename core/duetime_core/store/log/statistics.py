"""Statistics of the runs of a namespace, counted from the log.

A few statements on one snapshot, which block nothing and wait for none.
"""

import datetime
from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import statistics
from duetime_core.postgres import database, namespaced

Unit = Literal["hour", "day"]

FORGOTTEN = "(no longer kept)"
"""The name and the queue shown for tasks that retention deleted, if their log rows have none."""
_MOST_SLOW = 10
_PERCENTILES = "ARRAY[0.5, 0.95, 0.99, 1]"

# A report reads much of the log, so other plans suit it than the statements of workers and servers.
_SETTINGS = sa.text("""
SELECT set_config('enable_seqscan', 'on', true), set_config('enable_hashjoin', 'on', true),
    set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '64MB', true),
    set_config('statement_timeout', '5min', true), set_config('transaction_read_only', 'on', true)
""")
_EVENTS = f"""events AS (
    SELECT logs.task_id, change, logs.timestamp, coalesce(logs.name, '{FORGOTTEN}') AS name,
        coalesce(logs.queue, '{FORGOTTEN}') AS queue, extract(epoch FROM duration)::float8 AS duration,
        extract(epoch FROM logs.timestamp - logs.execution_time)::float8 AS lateness,
        date_trunc(:unit, logs.timestamp, :zone) AS bucket
    FROM task_logs AS logs
    WHERE logs.namespace_id = :namespace_id AND logs.timestamp >= :start AND logs.timestamp < :end
        AND change IN ('started', 'completed', 'failed', 'retry_scheduled', 'lease_lost')
        AND (CAST(:name AS text) IS NULL OR logs.name = :name)
        AND (CAST(:queue AS text) IS NULL OR logs.queue = :queue)
)"""
_READ = namespaced.text(f"""
WITH {_EVENTS}
SELECT grouping(bucket, name, queue) AS without, bucket, name, queue,
    count(DISTINCT task_id) FILTER (WHERE change = 'started') AS ran,
    count(*) FILTER (WHERE change = 'completed') AS succeeded,
    count(*) FILTER (WHERE change = 'failed') AS failed,
    count(*) FILTER (WHERE change IN ('retry_scheduled', 'lease_lost')) AS retried,
    percentile_cont({_PERCENTILES}) WITHIN GROUP (ORDER BY lateness) FILTER (WHERE change = 'started') AS lateness,
    percentile_cont({_PERCENTILES}) WITHIN GROUP (ORDER BY duration) FILTER (WHERE duration IS NOT NULL) AS duration
FROM events GROUP BY GROUPING SETS ((), (bucket), (name), (queue))
ORDER BY without, bucket, name, queue
""")
_SLOWEST = namespaced.text(f"""
WITH {_EVENTS}
SELECT task_id, name, queue, duration, timestamp FROM events WHERE duration IS NOT NULL
ORDER BY duration DESC, task_id LIMIT {_MOST_SLOW}
""")
_LOG_BEGINS = namespaced.text("SELECT min(timestamp) FROM task_logs WHERE namespace_id = :namespace_id")
_REQUESTED_TIME = namespaced.text("""
SELECT execution_time FROM task_logs
WHERE task_id = :task_id AND namespace_id = :namespace_id AND change IN ('created', 'updated', 'retried')
ORDER BY version DESC LIMIT 1
""")


async def requested_time(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> datetime.datetime | None:
    """Returns the execution_time that a caller last set, before any backoff; None if its log row is no longer kept."""
    with database.unavailable():
        async with engine.connect() as connection:
            found: datetime.datetime | None = (
                await connection.execute(_REQUESTED_TIME, {"task_id": task_id})
            ).scalar_one_or_none()
    return found


async def read(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    start: datetime.datetime,
    end: datetime.datetime,
    unit: Unit,
    zone: str,
    name: str | None = None,
    queue: str | None = None,
) -> statistics.Statistics:
    """Returns the statistics from `start` (inclusive) to `end` (exclusive), per `unit` of local time in `zone`."""
    parameters = {"start": start, "end": end, "unit": unit, "zone": zone, "name": name, "queue": queue}
    with database.unavailable():
        async with engine.execution_options(isolation_level="REPEATABLE READ").begin() as connection:
            await database.wait_indefinitely(connection)
            await connection.execute(_SETTINGS)
            lines = (await connection.execute(_READ, parameters)).all()
            slowest = [statistics.SlowRun(*row) for row in await connection.execute(_SLOWEST, parameters)]
            log_begins = (await connection.execute(_LOG_BEGINS)).scalar_one()
    # `without` has a bit, from the right, for each column that the grouping set does not group by.
    groups: dict[int, dict[Any, statistics.Line]] = {0b111: {}, 0b011: {}, 0b101: {}, 0b110: {}}
    for row in lines:
        key = {0b111: None, 0b011: row.bucket, 0b101: row.name, 0b110: row.queue}[row.without]
        groups[row.without][key] = _line(row)
    return statistics.Statistics(groups[0b111][None], groups[0b011], groups[0b101], groups[0b110], slowest, log_begins)


def _line(row: Any) -> statistics.Line:
    return statistics.Line(
        row.ran, row.succeeded, row.failed, row.retried, _percentiles(row.lateness), _percentiles(row.duration)
    )


def _percentiles(values: Sequence[float] | None) -> statistics.Percentiles | None:
    return None if values is None else statistics.Percentiles(*values)
