"""Callers' changes to one task: each is one guarded statement with its log row."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, payload, task
from duetime_core.postgres import confirmation
from duetime_core.store import encoding, leases
from duetime_core.store.tasks import columns, payloads, read

_NEW_DATA = "CAST(:new_task_data AS jsonb)"
# Field of task.NewTask → its columns. The parameters are not named as those of filters.
_ASSIGNMENTS = {
    **{field: f"{field} = :new_{field}" for field in ("name", "queue", "timeout", "priority", "concurrency_key")},
    "execution_time": "execution_time = greatest(:new_execution_time, now()), local_time = NULL, time_zone = NULL",
    # One value of three: the instant by the present rules of the zone, the local time and the zone.
    "local_time": (
        "execution_time = greatest(:local_instant, now()), local_time = :local_time, time_zone = :time_zone"
    ),
    "task_data": f"task_data = {payloads.assign(_NEW_DATA)}",
    # Not below the retries that were spent: then none are left.
    "max_retries": "max_retries = greatest(:new_max_retries, retry_count)",
    "retry_policy": ", ".join(f"{encoding.column(field)} = :{field}" for field in encoding.POLICY),
}

_RESET = {
    "retry_count": "0",
    "lost_leases": "0",
    "error_message": "NULL",
    "execution_time": "now()",
    "version": "version + 1",
    "updated_at": "now()",
}
_FIND = sa.text("""
SELECT version, 'pending' AS status FROM waiting WHERE task_id = :task_id
UNION ALL
SELECT version + 1, 'running' FROM tasks
WHERE task_id = :task_id AND NOT EXISTS (SELECT FROM waiting WHERE waiting.task_id = tasks.task_id)
UNION ALL
SELECT version, status FROM ended_tasks WHERE task_id = :task_id AND deleted_at IS NULL
""")

_KEPT = ", ".join(f"tasks.{column}" for column in columns.KEPT if column != "version")
_PUT_BACK = [column for column in columns.KEPT if column not in _RESET]
"""How a finished task becomes pending again: what a retry keeps, and what it sets."""


def of_ended(target: str, *, is_deleted: bool, wanted: str, locking: str, has_running: bool) -> str:
    """Returns the CTEs that end pending tasks and, if `has_running`, running ones; `edited` has them.

    `wanted` is the condition of their ids. The row of `waiting` decides: a statement that has locked it has the task,
    whose row in `tasks` it then takes in its newest version. A running task is taken in the version of its lease.
    """
    running = f"""
        SELECT running.task_id, 2 AS step, running.worker_id AS started_by, running.started_at
        FROM {leases.RUNNING} AS running CROSS JOIN LATERAL (
            SELECT FROM tasks WHERE tasks.task_id = running.task_id AND tasks.version = running.version {locking}
        ) AS locked
        WHERE {wanted.format("running")} AND running.task_id NOT IN (SELECT task_id FROM gone)
    """
    nothing = "SELECT CAST(NULL AS bigint), 2, CAST(NULL AS text), CAST(NULL AS timestamptz) WHERE false"
    change = task.Change.DELETED if is_deleted else task.Change.CANCELLED
    return f"""gone AS (
            DELETE FROM waiting WHERE task_id = ANY(ARRAY(
                SELECT task_id FROM waiting WHERE {wanted.format("waiting")} ORDER BY task_id {locking}
            )) RETURNING task_id
        ), taken AS MATERIALIZED (
            SELECT task_id, 1 AS step, CAST(NULL AS text) AS started_by, CAST(NULL AS timestamptz) AS started_at
            FROM gone
            UNION ALL {running if has_running else nothing}
        ), removed AS (
            DELETE FROM tasks USING taken WHERE tasks.task_id = taken.task_id
            RETURNING {_KEPT}, tasks.version + step AS version, step, started_by, started_at,
                tasks.execution_time AS started_due, tasks.retry_count AS started_retries
        ), {
        columns.end(
            "removed",
            status=f"'{target}'",
            assigned="coalesce(started_at, executed_at)",
            deleted="now()" if is_deleted else "NULL",
            returning="RETURNING *",
        )
    }, {columns.write_log("removed", change=f"'{change}'", status=f"'{target}'", started="step = 2")}"""


def _end_one(*, is_deleted: bool) -> sa.TextClause:
    return sa.text(f"""
        WITH {
        of_ended(
            "cancelled",
            is_deleted=is_deleted,
            wanted="{}.task_id = :task_id",
            locking="FOR UPDATE",
            has_running=not is_deleted,
        )
    }
        SELECT {columns.EDITED_ENDED_COLUMNS}, now() AS now FROM ended AS ended_tasks
    """)


_CANCEL = _end_one(is_deleted=False)
_DELETE_PENDING = _end_one(is_deleted=True)


def of_deleted(wanted: str, locking: str) -> str:
    """Returns the CTEs that soft-delete finished tasks."""
    return f"""locked AS MATERIALIZED (
            SELECT task_id, ended_at FROM ended_tasks WHERE {wanted.format("ended_tasks")} AND deleted_at IS NULL
            ORDER BY task_id {locking}
        ), edited AS (
            UPDATE ended_tasks SET version = version + 1, updated_at = now(), deleted_at = now()
            FROM locked WHERE ended_tasks.task_id = locked.task_id AND ended_tasks.ended_at = locked.ended_at
            RETURNING ended_tasks.*
        ), {columns.write_log("edited", change="'deleted'", status="status", name="logged_too")}"""


def of_retried(wanted: str, locking: str) -> str:
    """Returns the CTEs that make failed and cancelled tasks pending again; `edited` has them."""
    kept = ", ".join(_PUT_BACK)
    return f"""locked AS MATERIALIZED (
            SELECT task_id, ended_at FROM ended_tasks
            WHERE {wanted.format("ended_tasks")} AND status IN ('failed', 'cancelled') AND deleted_at IS NULL
            ORDER BY task_id {locking}
        ), back AS (
            DELETE FROM ended_tasks USING locked
            WHERE ended_tasks.task_id = locked.task_id AND ended_tasks.ended_at = locked.ended_at
            RETURNING ended_tasks.*
        ), edited AS (
            INSERT INTO tasks ({kept}, {", ".join(_RESET)}) OVERRIDING SYSTEM VALUE
            SELECT {kept}, {", ".join(_RESET.values())} FROM back
            RETURNING *
        ), waits AS (
            INSERT INTO waiting (task_id, queue, ready_at, version, level, concurrency_key, schedule_id)
            SELECT task_id, queue, clock_timestamp(), version, {columns.QUEUE_LEVEL}, concurrency_key, schedule_id
            FROM edited
        ), {columns.write_log("edited", change="'retried'", status="'pending'")}"""


_DELETE_ENDED = sa.text(f"""
    WITH {of_deleted("{}.task_id = :task_id", "FOR UPDATE")}
    SELECT {columns.EDITED_ENDED_COLUMNS}, now() AS now FROM edited AS ended_tasks
""")
_RETRY = sa.text(f"""
    WITH {of_retried("{}.task_id = :task_id", "FOR UPDATE")}
    SELECT {columns.select_pending("edited")}, now() AS now FROM edited
""")


def of_updated(assignments: str, wanted: str, locking: str, guard: str = "true", *, has_task_data: bool = False) -> str:
    """Returns the CTEs that update pending tasks; `edited` has them.

    The row of `waiting` decides, and is written whatever changes: a claim in progress then sees that there is a newer
    version of the task.
    """
    stored = payloads.store(f"SELECT task_id, {_NEW_DATA} FROM edited WHERE task_data IS NULL") + ", "
    return f"""locked AS MATERIALIZED (
            SELECT task_id, is_next FROM waiting WHERE {wanted.format("waiting")} AND {guard}
            ORDER BY task_id {locking}
        ), before AS MATERIALIZED (
            SELECT task_id, is_next, queue AS previous_queue, name AS previous_name
            FROM locked CROSS JOIN LATERAL (
                SELECT queue, name FROM tasks WHERE tasks.task_id = locked.task_id FOR UPDATE
            ) AS present
        ), edited AS (
            UPDATE tasks SET version = version + 1, updated_at = now(), {assignments}
            FROM before WHERE tasks.task_id = before.task_id
            RETURNING tasks.*, before.is_next, before.previous_queue, before.previous_name
        ), changed AS (
            UPDATE waiting SET version = edited.version, queue = edited.queue, lost_leases = edited.lost_leases,
                ready_at = greatest(edited.execution_time, clock_timestamp()), level = {
        columns.QUEUE_LEVEL.replace("priority", "edited.priority")
    }, concurrency_key = edited.concurrency_key
            FROM edited WHERE waiting.task_id = edited.task_id
        ), {stored if has_task_data else ""}{
        columns.write_log("edited", change="'updated'", status="'pending'", has_previous=True)
    }"""


async def update(
    engine: sqlalchemy_asyncio.AsyncEngine,
    task_id: int,
    changes: Mapping[str, Any],
    *,
    version: int | None,
    actor: str,
) -> tuple[task.Task, datetime.datetime]:
    """Changes those fields of a pending task, and returns it with the database's time.

    `changes` maps fields of `task.NewTask` to new values, validated already, and `local_time` to the instant, the naive
    local time and the zone; `version`, if given, must be the current one. max_retries is raised to the number of
    retries that were spent. Raises TaskNotFound, TaskNotPending or VersionMismatch.
    """
    assignments, parameters = assigning(changes)
    guard = "true" if version is None else "version = :version"
    has_task_data = "task_data" in changes
    statement = sa.text(f"""
        WITH {of_updated(assignments, "{}.task_id = :task_id", "FOR UPDATE", guard, has_task_data=has_task_data)}
        SELECT {columns.select_pending("edited", is_next="edited.is_next")}, now() AS now FROM edited
    """)
    return await _apply(
        engine, task_id, task.Change.UPDATED, statement, {**parameters, "version": version, "actor": actor}
    )


def assigning(changes: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the SQL assignments of an update and their parameters; `changes` are those of `update`."""
    assignments = ", ".join(["lost_leases = 0", *(_ASSIGNMENTS[field] for field in changes)])
    return assignments, {key: value for field, change in changes.items() for key, value in _encode(field, change)}


async def cancel(
    engine: sqlalchemy_asyncio.AsyncEngine, task_id: int, *, actor: str
) -> tuple[task.Task, datetime.datetime]:
    """Cancels a pending or running task, and returns it with the database's time.

    A task that is already cancelled is returned as it is, so that a caller who lost the response can retry. Raises
    TaskNotFound or TaskFinished.
    """
    try:
        return await _apply(engine, task_id, task.Change.CANCELLED, _CANCEL, {"actor": actor})
    except errors.TaskFinished as error:
        if error.metadata["status"] != task.Status.CANCELLED:
            raise
        cancelled = await read.get(engine, task_id)
        return cancelled, cancelled.updated_at


async def retry(
    engine: sqlalchemy_asyncio.AsyncEngine, task_id: int, *, actor: str
) -> tuple[task.Task, datetime.datetime]:
    """Makes a failed or cancelled task pending and due now, and returns it with the database's time.

    Raises TaskNotFound or TaskNotRetryable.
    """
    return await _apply(engine, task_id, task.Change.RETRIED, _RETRY, {"actor": actor})


async def delete(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int, *, actor: str) -> None:
    """Soft-deletes a task: only its log can still be read. Raises TaskNotFound or TaskRunning."""
    await _apply(engine, task_id, task.Change.DELETED, _DELETE_PENDING, {"actor": actor}, otherwise=_DELETE_ENDED)


_CONFLICTS: dict[task.Change, type[errors.StateConflict]] = {
    task.Change.UPDATED: errors.TaskNotPending,
    task.Change.CANCELLED: errors.TaskFinished,
    task.Change.RETRIED: errors.TaskNotRetryable,
    task.Change.DELETED: errors.TaskRunning,
}


async def _apply(
    engine: sqlalchemy_asyncio.AsyncEngine,
    task_id: int,
    change: task.Change,
    statement: sa.TextClause,
    parameters: dict[str, Any],
    otherwise: sa.TextClause | None = None,
) -> tuple[task.Task, datetime.datetime]:
    async with confirmation.of_refusals(engine), engine.connect() as connection:
        while True:
            given = {**parameters, "task_id": task_id}
            edited = (await connection.execute(statement, given)).one_or_none()
            if edited is None and otherwise is not None:
                edited = (await connection.execute(otherwise, given)).one_or_none()
            if edited is not None:
                changed = columns.read_task(edited)
                if edited.task_data is None:
                    changed.task_data = await payloads.read(connection, task_id)
                return changed, edited.now
            # The guard refused; the reason is read afterwards. If there is none any more, because the task changed
            # in between, the edit is retried.
            found = (await connection.execute(_FIND, {"task_id": task_id})).one_or_none()
            if found is None:
                raise errors.TaskNotFound.of(task_id)
            if found.status not in task.MOVES[change].sources:
                conflict = _CONFLICTS[change]
                raise conflict(f"{conflict.__doc__} Task {task_id} is {found.status}.", status=found.status)
            if parameters.get("version") not in (None, found.version):
                raise errors.VersionMismatch(
                    f"Task {task_id} has version {found.version}, not {parameters['version']}.",
                    version=str(found.version),
                )


def _encode(field: str, value: Any) -> Iterator[tuple[str, Any]]:
    match field, value:
        case "task_data", _:
            yield "new_task_data", payload.write(value)
        case "local_time", (instant, local_time, time_zone):
            yield "local_instant", instant
            yield "local_time", local_time
            yield "time_zone", time_zone
        case "retry_policy", task.RetryPolicy():
            yield from ((field, getattr(value, field)) for field in encoding.POLICY)
        case _:
            yield f"new_{field}", value
