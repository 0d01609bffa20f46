"""Rescue: reclaiming tasks with expired leases, and releasing those of a claim whose response was lost."""

import datetime
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database, namespaced, schema
from duetime_core.store import leases
from duetime_core.store.tasks import columns as task_columns

BATCH = 20
"""How many leases one statement takes; each is of one claim."""

_KEPT = ", ".join(f"tasks.{column}" for column in task_columns.KEPT if column not in {"version", "lost_leases"})


# What is still held is moved; of a lease, only tasks that others have locked stay, for the next call.
def _take(lost: str) -> str:
    """Returns the CTEs of the leases that `lost` locks, of their tasks, and of what becomes of the leases."""
    return f"""lost AS MATERIALIZED ({lost}), claimed AS MATERIALIZED (
        SELECT lost.lease_id, lost.worker_id, lost.started_at, claimed.*
        FROM lost CROSS JOIN LATERAL {leases.CLAIMED}
        ORDER BY claimed.task_id
    ), held AS MATERIALIZED (
        SELECT claimed.*, retry_count < max_retries AS may_retry, execution_time AS started_due,
            retry_count AS started_retries
        FROM claimed CROSS JOIN LATERAL (
            SELECT retry_count, max_retries, execution_time FROM tasks
            WHERE tasks.task_id = claimed.task_id AND tasks.version = claimed.version
            FOR UPDATE SKIP LOCKED
        ) AS locked
    ), rest AS MATERIALIZED (
        SELECT lease_id, array_agg(task_id) AS task_ids, array_agg(version) AS versions, array_agg(key) AS keys
        FROM claimed
        WHERE NOT EXISTS (SELECT FROM held WHERE held.task_id = claimed.task_id AND held.version = claimed.version)
            AND EXISTS (
                SELECT FROM tasks WHERE tasks.task_id = claimed.task_id AND tasks.version = claimed.version OFFSET 0
            )
        GROUP BY lease_id
    ), cut AS (
        -- ANY keeps the planner from a join that reads all leases, where it believes them to be few.
        UPDATE leases SET task_ids = rest.task_ids, versions = rest.versions, concurrency_keys = rest.keys
        FROM rest WHERE leases.lease_id = rest.lease_id
            AND leases.lease_id = ANY(ARRAY(SELECT rest.lease_id FROM rest))
    ), dropped AS (
        DELETE FROM leases WHERE lease_id = ANY(ARRAY(
            SELECT lease_id FROM lost WHERE NOT EXISTS (SELECT FROM rest WHERE rest.lease_id = lost.lease_id)
        ))
    )"""


_WAIT = f"""waits AS (
        INSERT INTO waiting (task_id, queue, ready_at, version, level, lost_leases, concurrency_key, schedule_id,
            namespace_id)
        SELECT task_id, queue, greatest(execution_time, clock_timestamp()), version, {task_columns.RETURNED_LEVEL},
            lost_leases, concurrency_key, schedule_id, namespace_id
        FROM returned
    )"""
_LOST = "format('Worker %s was lost: it stopped extending its lease.', held.worker_id)"
# A lost lease spends a retry, and without one left the task fails: a poison task cannot kill workers indefinitely.
_RECLAIM = sa.text(f"""
WITH {
    _take(f'''
    SELECT * FROM leases WHERE expires_at < coalesce(CAST(:before AS timestamptz), now()) AND {leases.HAS_LEASE}
    ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
''')
}, returned AS (
    UPDATE tasks SET retry_count = retry_count + 1, lost_leases = lost_leases + 1, version = tasks.version + 2,
        updated_at = now(), executed_at = held.started_at, error_message = {_LOST}
    FROM held WHERE tasks.task_id = held.task_id AND held.may_retry
    RETURNING tasks.*, held.started_at, held.worker_id AS started_by, started_due, started_retries
), {_WAIT}, gone AS (
    DELETE FROM tasks USING held WHERE tasks.task_id = held.task_id AND NOT held.may_retry
    RETURNING {_KEPT}, tasks.version + 2 AS version, tasks.lost_leases + 1 AS lost_leases, held.started_at,
        held.worker_id AS started_by, started_due, started_retries, {_LOST} || CASE
            WHEN tasks.lost_leases = 0 THEN ' No retries are left.'
            ELSE format(' No retries are left. Its worker was lost %s times in a row: '
                'the task may be what kills them.', tasks.lost_leases + 1)
        END AS lost
), {task_columns.end("gone", status="'failed'", assigned="started_at", error="lost")}, moved AS (
    SELECT task_id, version, 'pending' AS status, 'lease_lost' AS change, execution_time, retry_count, queue, name,
        error_message, started_at, started_by, started_due, started_retries, namespace_id
    FROM returned
    UNION ALL
    SELECT task_id, version, 'failed', 'failed', execution_time, retry_count, queue, name, lost, started_at, started_by,
        started_due, started_retries, namespace_id
    FROM gone
), {
    task_columns.write_log(
        "moved",
        change="change",
        status="status",
        actor=":worker_id",
        error="error_message",
        duration="now() - started_at",
        started="true",
    )
}
SELECT task_id FROM moved
""")

# Restricted by the leases: of the tasks, those in the version of these are read.
_RELEASE = namespaced.text(f"""
WITH {
    _take(f'''
    SELECT * FROM leases
    WHERE namespace_id = :namespace_id AND worker_id = :worker_id AND started_at < CAST(:claimed_before AS timestamptz)
        AND {leases.HAS_LEASE}
        AND lease_id <> ALL(CAST(:held AS bigint[]))
        AND CASE WHEN CAST(:queue AS text) IS NULL THEN is_quarantined ELSE queue = :queue AND NOT is_quarantined END
    ORDER BY lease_id
    FOR UPDATE SKIP LOCKED
''')
}, returned AS (
    UPDATE tasks SET version = tasks.version + 2, updated_at = now()
    FROM held WHERE tasks.task_id = held.task_id
    RETURNING tasks.*, held.started_at, held.worker_id AS started_by, started_due, started_retries, 'pending' AS status
), {_WAIT}, {
    task_columns.write_log("returned", change="'released'", status="status", actor=":worker_id", started="true")
}
SELECT {task_columns.CHANGED} FROM returned
""")
# At most a minute before now, because a claim that began earlier may commit later; lower at once if the clock was set
# back.
_RAISE_FLOOR = sa.text("""
UPDATE lease_floor SET expires_at = raised.expires_at FROM (
    SELECT least(now() - interval '1 minute', (
        SELECT expires_at FROM leases
        WHERE leases.expires_at >= least((SELECT expires_at FROM lease_floor WHERE is_only), now())
        ORDER BY expires_at LIMIT 1
    )) AS expires_at
) AS raised
WHERE raised.expires_at > lease_floor.expires_at + interval '10 seconds' OR lease_floor.expires_at > now()
""")

assert schema.RETURNED > 0


async def reclaim(
    engine: sqlalchemy_asyncio.AsyncEngine, *, worker_id: str, before: datetime.datetime | None = None
) -> list[int]:
    """Makes running tasks whose lease expired pending again, or failed; returns their ids.

    It takes at most BATCH leases: if it returns any, more may have expired. The caller must know that the workers could
    have extended them. `worker_id` is the actor in the log. Leases expired if they are over by `before`, by the
    database's clock, or now: the caller judged that time, and since then the clock may have been stepped.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            taken = await connection.execute(_RECLAIM, {"worker_id": worker_id, "limit": BATCH, "before": before})
            task_ids = list(taken.scalars())
            await connection.execute(_RAISE_FLOOR)
    return task_ids


async def release(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    worker_id: str,
    queue: str | None,
    held: Collection[int],
    claimed_before: datetime.datetime,
) -> list[task.Changed]:
    """Releases the tasks of leases of `queue` that the worker got before `claimed_before`, except those `held`.

    Without a queue it releases quarantined tasks instead, of any queue: they are claimed apart. It spends
    no retry. `claimed_before` is by the database's clock, before the call. It fences a call that PostgreSQL receives
    late, after its caller has abandoned it and claimed more.
    """
    parameters = {"worker_id": worker_id, "queue": queue, "held": list(held), "claimed_before": claimed_before}
    with database.unavailable():
        async with engine.connect() as connection:
            released = await connection.execute(_RELEASE, parameters)
            return [task_columns.read_changed(row) for row in released]
