"""The first edition, as it was at migration 0017: what it did to `tasks`, and data of every kind that it left."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import alembic.command
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.postgres import database

Engine = sqlalchemy_asyncio.AsyncEngine

REVISION = "0017"
COLUMNS = """task_id, name, queue, status, execution_time, task_data, result, error_message, retry_count, max_retries,
    retry_initial_backoff, retry_max_backoff, retry_multiplier, retry_jitter, timeout, version, created_at, updated_at,
    executed_at, request_id, request_digest, worker_id, lease_expires_at, deleted_at, lost_leases, priority,
    concurrency_key, schedule_id, nominal_time, is_next, is_refused, local_time, time_zone"""

_LOG = """logged AS (
    INSERT INTO task_logs (task_id, version, status, change, execution_time, retry_count, actor, queue, name)
    SELECT task_id, version, status, '{}', execution_time, retry_count, 'first edition', queue, name FROM changed
) SELECT task_id, version, retry_count, max_retries FROM changed"""
_MINE = "task_id = ANY(:ids) AND status = 'running' AND worker_id = :worker_id"


def _some(condition: str) -> str:
    picked = f"SELECT task_id FROM tasks WHERE {condition} ORDER BY random() LIMIT 5 FOR UPDATE SKIP LOCKED"
    return f" WHERE task_id = ANY(ARRAY({picked}))"


def _change(change: str, statement: str) -> str:
    return f"WITH changed AS ({statement} RETURNING *), {_LOG.format(change)}"


STATEMENTS = {
    "create": _change(
        "created",
        "INSERT INTO tasks (name, queue, status, execution_time, task_data, retry_initial_backoff, retry_max_backoff, "
        "retry_multiplier, retry_jitter, priority, request_id, request_digest, concurrency_key) "
        "SELECT 'noop', 'default', 'pending', now(), '{}', '1 second', '1 hour', 2, 0.1, number % 3, "
        "'request ' || gen_random_uuid(), gen_random_uuid(), 'key ' || number "
        "FROM generate_series(1, 5) AS made (number)",
    ),
    "claim": _change(
        "started",
        "UPDATE tasks SET status = 'running', version = version + 1, updated_at = now(), executed_at = now(), "
        "worker_id = :worker_id, lease_expires_at = now() + interval '15 seconds'"
        + _some("status = 'pending' AND lost_leases < 2 AND NOT is_next AND execution_time <= now()"),
    ),
    "complete": _change(
        "completed",
        "UPDATE tasks SET status = 'completed', version = version + 1, updated_at = now(), worker_id = NULL, "
        f"lease_expires_at = NULL, result = '{{}}', lost_leases = 0 WHERE {_MINE}",
    ),
    "fail": _change(
        "failed",
        "UPDATE tasks SET status = 'failed', version = version + 1, updated_at = now(), worker_id = NULL, "
        f"lease_expires_at = NULL, error_message = 'failed' WHERE {_MINE}",
    ),
    "retry later": _change(
        "retry_scheduled",
        "UPDATE tasks SET status = 'pending', version = version + 1, updated_at = now(), worker_id = NULL, "
        "lease_expires_at = NULL, retry_count = retry_count + 1, error_message = 'failed', "
        f"execution_time = now() + interval '10 milliseconds' WHERE {_MINE}",
    ),
    "lose": _change(
        "lease_lost",
        "UPDATE tasks SET status = 'pending', version = version + 1, updated_at = now(), worker_id = NULL, "
        f"lease_expires_at = NULL, retry_count = retry_count + 1, lost_leases = lost_leases + 1 WHERE {_MINE}",
    ),
    "extend": f"UPDATE tasks SET lease_expires_at = now() + interval '15 seconds' WHERE {_MINE} RETURNING task_id",
    "cancel": _change(
        "cancelled",
        "UPDATE tasks SET status = 'cancelled', version = version + 1, updated_at = now(), worker_id = NULL, "
        "lease_expires_at = NULL" + _some("status IN ('pending', 'running')"),
    ),
    "update": _change(
        "updated",
        "UPDATE tasks SET version = version + 1, updated_at = now(), lost_leases = 0, task_data = '{\"new\": 1}', "
        "queue = 'other', priority = 1, execution_time = now()" + _some("status = 'pending' AND NOT is_next"),
    ),
    "retry": _change(
        "retried",
        "UPDATE tasks SET status = 'pending', version = version + 1, updated_at = now(), retry_count = 0, "
        "lost_leases = 0, error_message = NULL, result = NULL, execution_time = now()"
        + _some("status IN ('failed', 'cancelled') AND deleted_at IS NULL AND NOT is_next"),
    ),
    "delete": _change(
        "deleted",
        "UPDATE tasks SET version = version + 1, updated_at = now(), deleted_at = now(), "
        "status = CASE status WHEN 'pending' THEN 'cancelled' ELSE status END, "
        "is_refused = is_next OR coalesce(nominal_time > now(), false)"
        + _some("status <> 'running' AND deleted_at IS NULL"),
    ),
    "release an occurrence": "UPDATE tasks SET is_next = false" + _some("is_next") + " RETURNING task_id",
    "expire": "DELETE FROM tasks" + _some("status = 'completed' AND NOT is_next") + " RETURNING task_id",
}
"""What servers and workers did: each is one statement. Those of a run have the parameters `ids` and `worker_id`."""
_ENDS = ("complete", "complete", "complete", "fail", "retry later", "lose")
_CALLS = ("create", "create", "create", "cancel", "update", "retry", "delete", "release an occurrence", "expire")

_FILL = """
INSERT INTO schedules (name, spec, template, overlap, catch_up, last_nominal_time, zone_version, next_nominal_time,
    next_due_at, advance_at)
SELECT 'each', '{}', '{}', 'skip', 'one', now(), '1', moment, moment, moment
FROM generate_series(1, :count) AS made (number), LATERAL (SELECT now() + number * interval '1 second') AS at (moment);
"""
_TASKS = """
INSERT INTO tasks (name, queue, status, execution_time, task_data, result, error_message, retry_count,
    retry_initial_backoff, retry_max_backoff, retry_multiplier, retry_jitter, timeout, request_id, request_digest,
    worker_id, lease_expires_at, executed_at, version, deleted_at, priority, lost_leases, concurrency_key, created_at,
    updated_at, local_time, time_zone, schedule_id, nominal_time, is_next, is_refused)
SELECT 'name ' || n % 5, 'queue ' || n % 3, status, now() + (n % 7 - 3) * interval '1 hour',
    jsonb_build_object('number', n), CASE status WHEN 'completed' THEN '{"ok": 1}'::jsonb END,
    CASE WHEN n % 9 = 0 THEN 'an error' END, n % 3, '1 second', '1 hour', 2, 0.1,
    CASE WHEN n % 4 = 0 THEN interval '1 minute' END,
    CASE WHEN n % 2 = 0 THEN 'request ' || n END, CASE WHEN n % 2 = 0 THEN gen_random_uuid() END,
    CASE status WHEN 'running' THEN 'worker ' || n % 3 END,
    CASE status WHEN 'running' THEN now() + n % 2 * interval '15 seconds' END,
    CASE WHEN status <> 'pending' THEN ended - interval '1 second' END,
    CASE status WHEN 'pending' THEN 1 WHEN 'running' THEN 2 ELSE 3 END,
    CASE WHEN is_deleted THEN ended END, CASE WHEN n % 6 = 0 THEN n % 10 ELSE 0 END,
    CASE WHEN n % 7 = 0 THEN n % 4 ELSE 0 END, CASE WHEN n % 13 = 0 THEN 'key ' || n % 50 END,
    now() - interval '90 days',
    CASE status WHEN 'running' THEN ended - interval '1 second' ELSE ended END,
    CASE WHEN n % 19 = 0 THEN localtimestamp END, CASE WHEN n % 19 = 0 THEN 'Europe/Berlin' END,
    CASE WHEN n % 5 = 0 THEN n END, CASE WHEN n % 5 = 0 THEN nominal END,
    n % 5 = 0 AND (status = 'pending' OR status = 'cancelled'), n % 5 = 0 AND status = 'cancelled' AND is_deleted
FROM generate_series(1, :count) AS made (n), LATERAL (SELECT
    (ARRAY['completed', 'completed', 'failed', 'cancelled', 'pending', 'running', 'pending'])[1 + n % 7] AS status,
    now() - (n % :days) * interval '1 day' AS ended,
    now() + n * interval '1 second' AS nominal) AS chosen,
    LATERAL (SELECT status NOT IN ('pending', 'running') AND n % 8 = 0 AS is_deleted) AS deleting;
"""
_HISTORY = """
INSERT INTO task_logs (task_id, version, status, change, execution_time, retry_count, actor, queue, name, timestamp)
SELECT task_id, number, CASE number WHEN 1 THEN 'pending' WHEN 2 THEN 'running' ELSE status END,
    CASE number WHEN 1 THEN 'created' WHEN 2 THEN 'started' ELSE status END, execution_time, retry_count, 'worker',
    queue, name, coalesce(executed_at, now())
FROM tasks, generate_series(1, version) AS written (number)
"""


async def fill(engine: Engine, count: int, *, days: int = 29) -> None:
    """Creates that many tasks of every kind, of which those that ended did so in the last `days`."""
    async with engine.connect() as connection:
        await connection.execute(sa.text(_FILL), {"count": count})
        await connection.execute(sa.text(_TASKS), {"count": count, "days": days})
        await connection.execute(sa.text(_HISTORY))


async def rows(engine: Engine) -> list[dict[str, Any]]:
    """Returns all tasks."""
    async with engine.connect() as connection:
        found = await connection.execute(sa.text(f"SELECT {COLUMNS} FROM tasks ORDER BY task_id"))
        return [dict(row) for row in found.mappings()]


async def execute(engine: Engine, name: str, **parameters: Any) -> list[int]:
    """Executes one of STATEMENTS, and returns the ids of the tasks that it changed."""
    async with engine.connect() as connection:
        found = await connection.execute(sa.text(STATEMENTS[name]), parameters)
        return [row[0] for row in found]


async def _serve(engine: Engine, worker_id: str, seed: int, until: asyncio.Event) -> None:
    """Does what servers and workers did, in random order, until that event."""
    chosen = random.Random(seed)
    running: list[int] = []
    while not until.is_set():
        await execute(engine, chosen.choice(_CALLS))
        running += await execute(engine, "claim", worker_id=worker_id)
        await execute(engine, "extend", ids=running, worker_id=worker_id)
        ended = [task_id for task_id in running if chosen.random() < 0.5]
        await execute(engine, chosen.choice(_ENDS), ids=ended, worker_id=worker_id)
        running = [task_id for task_id in running if task_id not in ended]


async def differences(engine: Engine, before: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Returns what is not as before: a task's id, the column, and its values before and now; or all ids."""
    after = await rows(engine)
    if [row["task_id"] for row in before] != [row["task_id"] for row in after]:
        return [[row["task_id"] for row in rows] for rows in (before, after)]
    return [
        (row["task_id"], name, row[name], now[name])
        for row, now in zip(before, after, strict=True)
        for name in row
        if row[name] != now[name]
    ]


async def downgrade(engine: Engine) -> None:
    """Returns to the first edition."""
    async with database.transaction(engine) as connection:
        await connection.run_sync(lambda sync: alembic.command.downgrade(migrate.config(sync), REVISION))


@contextlib.asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[None]:
    """Lets servers and workers of the first edition run during the block."""
    async with asyncio.TaskGroup() as group:
        ended = asyncio.Event()
        for each in range(3):
            group.create_task(_serve(engine, f"worker-{each}", seed=each, until=ended))
        try:
            yield
        finally:
            ended.set()
