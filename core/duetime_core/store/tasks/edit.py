"""Callers' changes to one task: each is a guarded UPDATE with its log row, in one statement."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, payload, task
from duetime_core.postgres import confirmation
from duetime_core.store import encoding
from duetime_core.store.tasks import columns, read

# Field of task.NewTask → its columns. The parameters are not named as those of filters.
_ASSIGNMENTS = {
    **{field: f"{field} = :new_{field}" for field in ("name", "queue", "timeout", "priority", "concurrency_key")},
    "execution_time": "execution_time = greatest(:new_execution_time, now()), local_time = NULL, time_zone = NULL",
    # One value of three: the instant by the present rules of the zone, the local time and the zone.
    "local_time": (
        "execution_time = greatest(:local_instant, now()), local_time = :local_time, time_zone = :time_zone"
    ),
    "task_data": "task_data = CAST(:new_task_data AS jsonb)",
    # Not below the retries that were spent: then none are left.
    "max_retries": "max_retries = greatest(:new_max_retries, retry_count)",
    "retry_policy": ", ".join(f"{encoding.column(field)} = :{field}" for field in encoding.POLICY),
}

_FIND = sa.text("SELECT status, version FROM tasks WHERE task_id = :task_id AND deleted_at IS NULL")


# Locked, so that the log has what the change replaced, not what an older snapshot sees.
_BEFORE = """before AS MATERIALIZED (
            SELECT task_id AS id_before, queue AS previous_queue, name AS previous_name
            FROM tasks WHERE task_id = :task_id
            FOR UPDATE
        ),"""


def _edit(change: task.Change, assignments: str, guard: str = "true", *, moves: bool = False) -> sa.TextClause:
    """Returns the statement of an edit; one that `moves` assigns the queue or the name, and logs those before it."""
    before, joined, previous = (
        (_BEFORE, "FROM before WHERE task_id = id_before AND", ", previous_queue, previous_name")
        if moves
        else ("", "WHERE", "")
    )
    sources = ", ".join(f"'{status}'" for status in sorted(task.MOVES[change].sources))
    return sa.text(f"""
        WITH {before} edited AS (
            UPDATE tasks SET version = version + 1, updated_at = now(), {assignments}
            {joined} task_id = :task_id AND deleted_at IS NULL AND status IN ({sources}) AND {guard}
            RETURNING {columns.TASK_COLUMNS}{previous}
        ), {columns.write_log("edited", change=f"'{change}'", has_previous=moves)}
        SELECT {columns.TASK_COLUMNS}, now() AS now FROM edited
    """)


MOVES = {
    task.Change.CANCELLED: "status = 'cancelled', worker_id = NULL, lease_expires_at = NULL",
    task.Change.RETRIED: (
        "status = 'pending', retry_count = 0, lost_leases = 0, error_message = NULL, result = NULL, "
        "execution_time = now()"
    ),
    # An occurrence whose time has not come stays refused: its schedule does not create it again.
    task.Change.DELETED: (
        "deleted_at = now(), status = CASE status WHEN 'pending' THEN 'cancelled' ELSE status END, "
        "is_refused = is_next OR coalesce(nominal_time > now(), false)"
    ),
}
"""The SQL assignments of each change."""

_CANCEL, _RETRY, _DELETE = (_edit(change, assignments) for change, assignments in MOVES.items())


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
    statement = _edit(
        task.Change.UPDATED,
        assignments,
        guard="true" if version is None else "version = :version",
        moves=not changes.keys().isdisjoint({"queue", "name"}),
    )
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
    await _apply(engine, task_id, task.Change.DELETED, _DELETE, {"actor": actor})


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
) -> tuple[task.Task, datetime.datetime]:
    async with confirmation.of_refusals(engine), engine.connect() as connection:
        while True:
            edited = (await connection.execute(statement, {**parameters, "task_id": task_id})).one_or_none()
            if edited is not None:
                return columns.read_task(edited), edited.now
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
