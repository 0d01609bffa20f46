"""Callers' changes to one task: each is one guarded statement with its log row."""

import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import confirmation, namespaced
from duetime_core.store.tasks import columns, edits, payloads, read

_FIND = namespaced.text("""
SELECT version, 'pending' AS status FROM waiting WHERE task_id = :task_id AND namespace_id = :namespace_id
UNION ALL
SELECT version + 1, 'running' FROM tasks
WHERE task_id = :task_id AND namespace_id = :namespace_id AND NOT EXISTS (
    SELECT FROM waiting WHERE waiting.task_id = tasks.task_id AND waiting.namespace_id = :namespace_id
)
UNION ALL
SELECT version, status FROM ended_tasks
WHERE task_id = :task_id AND namespace_id = :namespace_id AND deleted_at IS NULL
""")


def _end_one(*, is_deleted: bool) -> sa.TextClause:
    return namespaced.text(f"""
        WITH {
        edits.of_ended(
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


_DELETE_ENDED = namespaced.text(f"""
    WITH {edits.of_deleted("{}.task_id = :task_id", "FOR UPDATE")}
    SELECT {columns.EDITED_ENDED_COLUMNS}, now() AS now FROM edited AS ended_tasks
""")
_RETRY = namespaced.text(f"""
    WITH {edits.of_retried("{}.task_id = :task_id", "FOR UPDATE")}
    SELECT {columns.select_pending("edited")}, now() AS now FROM edited
""")


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
    statement, parameters = _updating(changes, version)
    return await _apply(
        engine, task_id, task.Change.UPDATED, statement, {**parameters, "version": version, "actor": actor}
    )


def _updating(changes: Mapping[str, Any], version: int | None) -> tuple[sa.TextClause, dict[str, Any]]:
    assignments, parameters = edits.assigning(changes)
    guard = "true" if version is None else "version = :version"
    has_task_data = "task_data" in changes
    return namespaced.text(f"""
        WITH {edits.of_updated(assignments, "{}.task_id = :task_id", "FOR UPDATE", guard, has_task_data=has_task_data)}
        SELECT {columns.select_pending("edited", is_next="edited.is_next")}, now() AS now FROM edited
    """), parameters


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
