"""Rescue: reclaiming tasks with expired leases, and releasing those of a claim whose response was lost."""

import datetime
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.claiming import bounds
from duetime_core.store.tasks import columns as task_columns

_SINCE = "lease_expires_at >= least(CAST(:since AS timestamptz), now() - CAST(:margin AS interval))"

# A lost lease spends a retry, and without one left the task fails: a poison task cannot kill workers indefinitely.
_RECLAIM = sa.text(f"""
WITH first AS MATERIALIZED (
    SELECT lease_expires_at FROM tasks
    WHERE status = 'running' AND lease_expires_at < now() AND {_SINCE} ORDER BY lease_expires_at LIMIT 1
), lost AS MATERIALIZED (
    SELECT task_id, worker_id, now() - executed_at AS duration FROM tasks
    WHERE status = 'running' AND lease_expires_at < now() AND {_SINCE}
    ORDER BY lease_expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE tasks SET
        status = CASE WHEN retry_count < max_retries THEN 'pending' ELSE 'failed' END,
        retry_count = retry_count + CASE WHEN retry_count < max_retries THEN 1 ELSE 0 END,
        lost_leases = lost_leases + 1,
        version = version + 1, updated_at = now(), worker_id = NULL, lease_expires_at = NULL,
        error_message = format('Worker %s was lost: it stopped extending its lease.', lost.worker_id) || CASE
            WHEN retry_count < max_retries THEN ''
            WHEN lost_leases = 0 THEN ' No retries are left.'
            ELSE format(' No retries are left. Its worker was lost %s times in a row: '
                'the task may be what kills them.', lost_leases + 1)
        END
    FROM lost WHERE tasks.task_id = lost.task_id
    RETURNING tasks.task_id, version, status, execution_time, retry_count, queue, name, error_message, lost.duration
), {
    task_columns.write_log(
        "moved",
        change="CASE status WHEN 'pending' THEN 'lease_lost' ELSE 'failed' END",
        actor=":worker_id",
        error="error_message",
        duration="duration",
    )
}
SELECT task_id, now() AS now, (SELECT lease_expires_at FROM first) AS first_at
FROM (SELECT) AS moment LEFT JOIN moved ON true
""")

BATCH = 1_000
"""How many tasks one call reclaims at most."""

# Locked tasks are left to the next call, as by a claim: neither may wait.
_RELEASE = sa.text(f"""
WITH unknown AS MATERIALIZED (
    SELECT task_id FROM tasks
    WHERE status = 'running' AND worker_id = :worker_id AND executed_at < CAST(:claimed_before AS timestamptz)
        AND task_id <> ALL(CAST(:held AS bigint[]))
        AND CASE WHEN CAST(:queue AS text) IS NULL THEN lost_leases >= {task.QUARANTINE_LEASES}
            ELSE queue = :queue AND lost_leases < {task.QUARANTINE_LEASES} END
    ORDER BY task_id
    FOR UPDATE SKIP LOCKED
), released AS (
    UPDATE tasks SET status = 'pending', version = version + 1, updated_at = now(),
        worker_id = NULL, lease_expires_at = NULL
    WHERE task_id = ANY(ARRAY(SELECT task_id FROM unknown))
    RETURNING task_id, version, status, execution_time, retry_count, queue, name
), {task_columns.write_log("released", change="'released'", actor=":worker_id")}
SELECT {task_columns.CHANGED} FROM released
""")


async def reclaim(
    engine: sqlalchemy_asyncio.AsyncEngine, *, worker_id: str, since: bounds.LeaseBound | None = None
) -> list[int]:
    """Makes running tasks whose lease expired pending again, or failed; returns their ids, at most BATCH.

    The caller must know that the workers could have extended those leases. `worker_id` is the actor in the log. `since`
    says from where on to read, by default from the beginning, and learns from the call.
    """
    since = since or bounds.LeaseBound()
    with since.look() as bounded, database.unavailable():
        async with engine.connect() as connection:
            rows = (await connection.execute(_RECLAIM, {"worker_id": worker_id, "limit": BATCH, **bounded})).all()
    since.learn(rows[0].first_at, now=rows[0].now)
    return [row.task_id for row in rows if row.task_id is not None]


async def release(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    worker_id: str,
    queue: str | None,
    held: Collection[int],
    claimed_before: datetime.datetime,
) -> list[task.Changed]:
    """Releases the tasks that the worker claimed from `queue` before `claimed_before`, except `held`; spends no retry.

    Without a queue it releases quarantined tasks instead, of any queue: they are claimed apart.

    `claimed_before` is by the database's clock, before the call. It fences a call that PostgreSQL receives late, after
    its caller has abandoned it and claimed more.
    """
    parameters = {"worker_id": worker_id, "queue": queue, "held": list(held), "claimed_before": claimed_before}
    with database.unavailable():
        async with engine.connect() as connection:
            released = await connection.execute(_RELEASE, parameters)
            return [task_columns.read_changed(row) for row in released]
