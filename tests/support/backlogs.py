"""Many rows of tasks at once, written in SQL: a million creates would take minutes."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database, schema

_DEFAULTS = {
    "name": "'noop'",
    "queue": "'default'",
    "status": "'pending'",
    "execution_time": "now()",
    "task_data": "'{}'",
    "retry_initial_backoff": "'1 second'",
    "retry_max_backoff": "'1 hour'",
    "retry_multiplier": "2",
    "retry_jitter": "0.1",
}


_UNGIVEN = {
    "version": "1",
    "updated_at": "CAST(NULL AS timestamptz)",
    "priority": "0",
    "lost_leases": "0",
    "is_next": "false",
    "concurrency_key": "CAST(NULL AS text)",
    "schedule_id": "CAST(NULL AS bigint)",
    "worker_id": "'worker'",
    "request_digest": "CAST(NULL AS uuid)",
}


def numbers(count: int | str) -> str:
    """Returns the FROM item of the rows `n` from 1 to that."""
    return f"generate_series(1, CAST({count} AS int)) AS n"


_OTHERS = {"worker_id": "text", "lease_expires_at": "timestamptz", "is_next": "boolean", "request_digest": "uuid"}


def _type(column: str) -> str:
    return _OTHERS.get(column) or schema.ended_tasks.c[column].type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]


def made(source: str, **columns: str) -> str:
    """Returns the CTE `made` that inserts a task for each row of `source`, and has its columns.

    The values of its columns are SQL expressions over `source`; those of running tasks include lease_expires_at.
    """
    values = {**_DEFAULTS, **columns}
    given = ", ".join(f"CAST({value} AS {_type(column)}) AS {column}" for column, value in values.items())
    kept = ", ".join(column for column in values if column not in (*_OTHERS, "status", "version"))
    has = {column: column if column in values else default for column, default in _UNGIVEN.items()}
    parts = [
        f"given AS MATERIALIZED (SELECT nextval(pg_get_serial_sequence('tasks', 'task_id')) AS task_id, {given} "
        f"FROM {source})",
        # The row of a running task has the version before its start.
        f"live AS (INSERT INTO tasks (task_id, version, {kept}) OVERRIDING SYSTEM VALUE SELECT task_id, "
        f"CASE status WHEN 'running' THEN greatest({has['version']} - 1, 1) ELSE {has['version']} END, {kept} "
        "FROM given WHERE status IN ('pending', 'running'))",
        f"pending AS (INSERT INTO waiting (task_id, queue, ready_at, version, level, lost_leases, is_next, "
        f"concurrency_key, schedule_id) SELECT task_id, queue, greatest(execution_time, {has['updated_at']}), "
        f"{has['version']}, CASE {has['priority']} WHEN 0 THEN 0 ELSE {has['priority']} + {schema.RETURNED} END, "
        f"{has['lost_leases']}, {has['is_next']}, {has['concurrency_key']}, {has['schedule_id']} "
        "FROM given WHERE status = 'pending')",
        f"ended AS (INSERT INTO ended_tasks (task_id, status, version, ended_at, {kept}) SELECT task_id, status, "
        f"{has['version']}, coalesce({has['updated_at']}, now()), {kept} FROM given "
        "WHERE status NOT IN ('pending', 'running'))",
    ]
    if "lease_expires_at" in values:
        parts.append(
            "leased AS (INSERT INTO leases (worker_id, queue, started_at, expires_at, task_ids, versions, "
            f"concurrency_keys) SELECT {has['worker_id']}, queue, now(), lease_expires_at, array_agg(task_id), "
            f"array_agg(greatest({has['version']} - 1, 1)), array_agg(coalesce({has['concurrency_key']}, '')) "
            "FROM given WHERE status = 'running' GROUP BY 1, 2, 3, 4)"
        )
    if "request_id" in values:
        parts.append(
            "requested AS (INSERT INTO request_ids (request_id, task_id, digest) "
            f"SELECT request_id, task_id, {has['request_digest']} FROM given WHERE request_id IS NOT NULL)"
        )
    if "nominal_time" in values:
        parts.append(
            "timed AS (INSERT INTO nominal_times (schedule_id, nominal_time, task_id) "
            "SELECT schedule_id, nominal_time, task_id FROM given WHERE nominal_time IS NOT NULL)"
        )
    return ",\n".join([*parts, "made AS (SELECT * FROM given)"])


def insertion(count: int | str, **columns: str) -> str:
    """Returns the statement that inserts that many tasks, with expressions over their number `n`; returns their ids."""
    return f"WITH {made(numbers(count), **columns)} SELECT task_id FROM made"


async def insert(engine: sqlalchemy_asyncio.AsyncEngine, count: int, **columns: str) -> Sequence[int]:
    """Inserts that many tasks, with expressions over their number `n`, and returns their ids."""
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        return (await connection.execute(sa.text(insertion(count, **columns)))).scalars().all()
