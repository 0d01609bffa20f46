"""Reading and writing the rows of tasks and of their log."""

import dataclasses
import datetime
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from duetime_core.model import task
from duetime_core.postgres import schema
from duetime_core.store import encoding, leases
from duetime_core.store.tasks import payloads

_POLICY = [encoding.column(field) for field in encoding.POLICY]


def _of(fields: Iterable[str]) -> list[str]:
    """Returns the columns of those fields of a task, in order; the retry policy has several."""
    return [column for field in fields for column in (_POLICY if field == "retry_policy" else [field])]


TASK = _of(field.name for field in dataclasses.fields(task.Task) if field.name != "lease_id")
TASK_COLUMNS = ", ".join(TASK)
_SAME_FOR_ALL = {
    "status",
    "result",
    "updated_at",
    "executed_at",
    "worker_id",
    "lease_expires_at",
    "deleted_at",
    "is_next",
    "version",
    "namespace_id",
}
"""The columns that are the same for all tasks of one claim: of thousands a second, reading each column costs."""
CLAIMED = [column for column in TASK if column not in _SAME_FOR_ALL]
CLAIMED_COLUMNS = ", ".join(payloads.of("tasks") if column == "task_data" else f"tasks.{column}" for column in CLAIMED)

KEPT = [
    column
    for column in TASK
    if column not in {"status", "result", "worker_id", "lease_expires_at", "deleted_at", "is_next"}
]
"""The columns of `tasks`: `ended_tasks` has them too."""

_OF_LIVE = {
    "status": "CASE WHEN waiting.task_id IS NULL THEN 'running' ELSE 'pending' END",
    # The row of a running task has the version before its start.
    "version": "tasks.version + CASE WHEN waiting.task_id IS NULL THEN 1 ELSE 0 END",
    "updated_at": "coalesce(lease.started_at, tasks.updated_at)",
    "executed_at": "coalesce(lease.started_at, tasks.executed_at)",
    "task_data": payloads.of("tasks"),
    "result": "CAST(NULL AS jsonb)",
    "worker_id": "lease.worker_id",
    "lease_expires_at": "lease.expires_at",
    "deleted_at": "CAST(NULL AS timestamptz)",
    "is_next": "coalesce(waiting.is_next, false)",
}
_OF_ENDED = {
    "worker_id": "CAST(NULL AS text)",
    "lease_expires_at": "CAST(NULL AS timestamptz)",
    "is_next": "false",
}
_OF_ENDED_READ = {**_OF_ENDED, "task_data": payloads.of("ended_tasks")}
LIVE_COLUMNS = ", ".join(f"{_OF_LIVE.get(column, f'tasks.{column}')} AS {column}" for column in TASK)
"""TASK, of the tables that LIVE joins."""
ENDED_COLUMNS = ", ".join(f"{_OF_ENDED_READ.get(column, f'ended_tasks.{column}')} AS {column}" for column in TASK)
"""TASK, of `ended_tasks`."""
EDITED_ENDED_COLUMNS = ", ".join(f"{_OF_ENDED.get(column, f'ended_tasks.{column}')} AS {column}" for column in TASK)
"""TASK, of a row of `ended_tasks` that the statement has changed: without task_data that is in `payloads`."""
LIVE = f"""
    LEFT JOIN waiting ON waiting.task_id = tasks.task_id AND waiting.namespace_id = :namespace_id
    LEFT JOIN LATERAL (
        SELECT worker_id, started_at, expires_at FROM leases
        WHERE waiting.task_id IS NULL AND leases.namespace_id = :namespace_id AND {leases.HAS_LEASE}
            AND tasks.task_id = ANY(task_ids)
            AND versions[array_position(task_ids, tasks.task_id)] = tasks.version
        LIMIT 1
    ) AS lease ON true"""
"""Joins of `tasks` of the namespace that show whether a task is pending or runs, and where."""
QUEUE_LEVEL = f"CASE priority WHEN 0 THEN 0 ELSE priority + {schema.RETURNED} END"
"""The level in `waiting` of a task with a priority."""
RETURNED_LEVEL = f"priority + {schema.RETURNED}"
"""The same for a task that was released or lost its lease."""

LOG = [field.name for field in dataclasses.fields(task.TaskLog)]
LOG_COLUMNS = ", ".join(LOG)

CHANGED = "task_id, queue, execution_time, now(), namespace_id, status"
"""What a statement returns of each task that it changed."""

_STATUS, _LOG_STATUS = TASK.index("status"), LOG.index("status")
_RETRY_POLICY = slice(TASK.index(_POLICY[0]), TASK.index(_POLICY[0]) + len(_POLICY))


def is_overlapped(schedule_id: str, namespace_id: str = ":namespace_id") -> str:
    """Returns the SQL of whether an earlier run of a schedule, given as an expression, is unfinished.

    Not EXISTS, for which PostgreSQL may read all tasks once instead of a few per schedule.
    """
    return f"""coalesce((
    SELECT true FROM tasks WHERE tasks.schedule_id = {schedule_id} AND tasks.namespace_id = {namespace_id}
        AND NOT EXISTS (
            SELECT FROM waiting
            WHERE waiting.task_id = tasks.task_id AND waiting.namespace_id = tasks.namespace_id AND is_next OFFSET 0
        )
    LIMIT 1
), false)"""


def read_task(row: sa.Row[Any]) -> task.Task:
    """Returns the task of a row that begins with TASK_COLUMNS."""
    values = list(row[: len(TASK)])
    values[_STATUS] = task.Status(values[_STATUS])
    values[_RETRY_POLICY] = [task.RetryPolicy(*values[_RETRY_POLICY])]
    return task.Task(*values)


_retry_policy = functools.lru_cache(1_000)(task.RetryPolicy)  # a frozen dataclass takes long to make


def read_claimed(
    row: Sequence[Any],
    version: int,
    *,
    lease_id: int,
    worker_id: str,
    started_at: datetime.datetime,
    expires_at: datetime.datetime,
    namespace_id: int,
) -> task.Task:
    """Returns the task of a row that begins with CLAIMED_COLUMNS, which that worker claimed: its start is `version`.

    Unpacked, because attributes of a row take five times as long: 7.6 instead of 1.4 µs a task.
    """
    (
        task_id,
        name,
        queue,
        execution_time,
        task_data,
        error_message,
        retry_count,
        max_retries,
        initial_backoff,
        max_backoff,
        multiplier,
        jitter,
        timeout,
        created_at,
        request_id,
        lost_leases,
        priority,
        concurrency_key,
        schedule_id,
        nominal_time,
        local_time,
        time_zone,
        *_,
    ) = row
    return task.Task(
        task_id,
        name,
        queue,
        task.Status.RUNNING,
        execution_time,
        task_data,
        None,  # result: it is cleared with every retry
        error_message,
        retry_count,
        max_retries,
        _retry_policy(initial_backoff, max_backoff, multiplier, jitter),
        timeout,
        version,
        created_at,
        started_at,  # updated_at
        started_at,  # executed_at
        request_id,
        worker_id,
        expires_at,
        None,  # deleted_at
        lost_leases,
        priority,
        concurrency_key,
        schedule_id,
        nominal_time,
        False,  # is_next
        local_time,
        time_zone,
        namespace_id,
        lease_id,
    )


def read_changed(row: Sequence[Any]) -> task.Changed:
    """Returns the changed task of a row that begins with CHANGED."""
    return task.Changed(row[0], row[1], row[2], row[3], row[4], task.Status(row[5]))


def read_log(row: sa.Row[Any]) -> task.TaskLog:
    """Returns the log row of a row that begins with LOG_COLUMNS."""
    values = list(row[: len(LOG)])
    values[_LOG_STATUS] = task.Status(values[_LOG_STATUS])
    return task.TaskLog(*values)


_LOGGED = """task_logs (task_id, version, status, change, error_message, execution_time, retry_count, actor,
            duration, timestamp, queue, name, previous_queue, previous_name, namespace_id)"""


def write_log(
    changed: str,
    *,
    change: str,
    status: str = "status",
    actor: str = ":actor",
    error: str = "NULL",
    duration: str = "NULL",
    timestamp: str = "now()",
    has_previous: bool = False,
    started: str | None = None,
    is_start_new: bool = False,
    name: str = "logged",
) -> str:
    """Returns the CTE `name` that logs each row of the CTE `changed`; the others are SQL expressions over it.

    `changed` has the tasks' namespace_id, queue and name and, if `has_previous`, previous_queue and previous_name. It
    must be what changes the tasks, so that a transaction has its id before it draws a log_id, as the feed needs.

    `started` is the condition of rows whose start may not be logged yet: they have started_at, started_by, started_due
    and started_retries. Both rows are written by one INSERT, in the order of versions, so that those of a task are,
    and then by task: inserts of one start wait for each other, so all have one order. The row of a start is left out
    if it is there already, which costs: not where it `is_start_new`.
    """
    previous = "NULLIF(previous_queue, queue), NULLIF(previous_name, name)" if has_previous else "NULL, NULL"
    rows = f"""SELECT task_id, version, {status}, {change}, {error}, execution_time, retry_count, {actor},
            CAST({duration} AS interval), {timestamp}, queue, name, {previous}, namespace_id
        FROM {changed}"""
    if started is not None:
        rows = f"""SELECT task_id, version - 1, 'running', 'started', NULL, started_due, started_retries, started_by,
            CAST(NULL AS interval), started_at, queue, name, NULL, NULL, namespace_id
        FROM {changed} WHERE {started}
        UNION ALL {rows}
        ORDER BY 2, 1
        {"" if is_start_new else "ON CONFLICT DO NOTHING"}"""
    return f"""{name} AS (
        INSERT INTO {_LOGGED}
        {rows}
    )"""


def log_starts(given: str) -> str:
    """Returns the statement that logs the starts of the rows of `given`, unless they are logged already."""
    return f"""
        -- So that the transaction has its id before it draws a log_id, as the feed needs.
        WITH begun AS MATERIALIZED (SELECT pg_current_xact_id() AS xid)
        INSERT INTO {_LOGGED}
        SELECT task_id, version, 'running', 'started', NULL, execution_time, retry_count, :worker_id,
            NULL, started_at, queue, name, NULL, NULL, namespace_id
        FROM begun CROSS JOIN {given}
        ORDER BY version, task_id
        ON CONFLICT DO NOTHING
    """


def end(
    taken: str,
    *,
    status: str,
    assigned: str,
    error: str = "error_message",
    result: str = "NULL",
    deleted: str = "NULL",
    returning: str = "",
) -> str:
    """Returns the CTE that writes the rows of the CTE `taken`, deleted from `tasks`, to `ended_tasks`.

    `taken` has KEPT, of which `version` is the new one. `assigned` is the time when the last run began.
    """
    copied = [column for column in KEPT if column not in {"updated_at", "executed_at", "error_message"}]
    return f"""ended AS (
        INSERT INTO ended_tasks ({", ".join(copied)}, status, updated_at, executed_at, error_message, result,
            deleted_at, ended_at)
        SELECT {", ".join(copied)}, {status}, now(), {assigned}, {error}, CAST({result} AS jsonb),
            CAST({deleted} AS timestamptz), now()
        FROM {taken}
        {returning}
    )"""


def select_pending(row: str, *, is_next: str = "false") -> str:
    """Returns TASK of a pending task, from `row`, which has the columns of `tasks`: without task_data of `payloads`."""
    special = {**_OF_LIVE, "status": "'pending'", "is_next": is_next, "worker_id": "CAST(NULL AS text)"}
    special["lease_expires_at"] = "CAST(NULL AS timestamptz)"
    for column in ("version", "updated_at", "executed_at", "task_data"):
        del special[column]
    return ", ".join(f"{special.get(column, f'{row}.{column}')} AS {column}" for column in TASK)
