"""The parts of statements that edit tasks: one, or many at once."""

from collections.abc import Iterator, Mapping
from typing import Any

from duetime_core.model import payload, task
from duetime_core.store import encoding, leases
from duetime_core.store.tasks import columns, payloads

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
            SELECT FROM tasks
            WHERE tasks.task_id = running.task_id AND tasks.namespace_id = :namespace_id
                AND tasks.version = running.version
            {locking}
        ) AS locked
        WHERE {wanted.format("running")} AND running.task_id NOT IN (SELECT task_id FROM gone)
    """
    nothing = "SELECT CAST(NULL AS bigint), 2, CAST(NULL AS text), CAST(NULL AS timestamptz) WHERE false"
    change = task.Change.DELETED if is_deleted else task.Change.CANCELLED
    return f"""gone AS (
            DELETE FROM waiting WHERE namespace_id = :namespace_id AND task_id = ANY(ARRAY(
                SELECT task_id FROM waiting WHERE {wanted.format("waiting")} AND namespace_id = :namespace_id
                ORDER BY task_id {locking}
            )) RETURNING task_id
        ), taken AS MATERIALIZED (
            SELECT task_id, 1 AS step, CAST(NULL AS text) AS started_by, CAST(NULL AS timestamptz) AS started_at
            FROM gone
            UNION ALL {running if has_running else nothing}
        ), removed AS (
            DELETE FROM tasks USING taken WHERE tasks.task_id = taken.task_id AND tasks.namespace_id = :namespace_id
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


def of_deleted(wanted: str, locking: str) -> str:
    """Returns the CTEs that soft-delete finished tasks."""
    return f"""locked AS MATERIALIZED (
            SELECT task_id, ended_at FROM ended_tasks
            WHERE {wanted.format("ended_tasks")} AND namespace_id = :namespace_id AND deleted_at IS NULL
            ORDER BY task_id {locking}
        ), edited AS (
            UPDATE ended_tasks SET version = version + 1, updated_at = now(), deleted_at = now()
            FROM locked WHERE ended_tasks.task_id = locked.task_id AND ended_tasks.ended_at = locked.ended_at
                AND ended_tasks.namespace_id = :namespace_id
            RETURNING ended_tasks.*
        ), {columns.write_log("edited", change="'deleted'", status="status", name="logged_too")}"""


def of_retried(wanted: str, locking: str) -> str:
    """Returns the CTEs that make failed and cancelled tasks pending again; `edited` has them."""
    kept = ", ".join(_PUT_BACK)
    return f"""locked AS MATERIALIZED (
            SELECT task_id, ended_at FROM ended_tasks
            WHERE {wanted.format("ended_tasks")} AND namespace_id = :namespace_id
                AND status IN ('failed', 'cancelled') AND deleted_at IS NULL
            ORDER BY task_id {locking}
        ), back AS (
            DELETE FROM ended_tasks USING locked
            WHERE ended_tasks.task_id = locked.task_id AND ended_tasks.ended_at = locked.ended_at
                AND ended_tasks.namespace_id = :namespace_id
            RETURNING ended_tasks.*
        ), edited AS (
            INSERT INTO tasks ({kept}, {", ".join(_RESET)}) OVERRIDING SYSTEM VALUE
            SELECT {kept}, {", ".join(_RESET.values())} FROM back
            RETURNING *
        ), waits AS (
            INSERT INTO waiting (task_id, queue, ready_at, version, level, concurrency_key, schedule_id, namespace_id)
            SELECT task_id, queue, clock_timestamp(), version, {columns.QUEUE_LEVEL}, concurrency_key, schedule_id,
                namespace_id
            FROM edited
        ), {columns.write_log("edited", change="'retried'", status="'pending'")}"""


def of_updated(assignments: str, wanted: str, locking: str, guard: str = "true", *, has_task_data: bool = False) -> str:
    """Returns the CTEs that update pending tasks; `edited` has them.

    The row of `waiting` decides, and is written whatever changes: a claim in progress then sees that there is a newer
    version of the task.
    """
    stored = payloads.store(f"SELECT task_id, {_NEW_DATA} FROM edited WHERE task_data IS NULL") + ", "
    return f"""locked AS MATERIALIZED (
            SELECT task_id, is_next FROM waiting
            WHERE {wanted.format("waiting")} AND namespace_id = :namespace_id AND {guard}
            ORDER BY task_id {locking}
        ), before AS MATERIALIZED (
            SELECT task_id, is_next, queue AS previous_queue, name AS previous_name
            FROM locked CROSS JOIN LATERAL (
                SELECT queue, name FROM tasks
                WHERE tasks.task_id = locked.task_id AND tasks.namespace_id = :namespace_id
                FOR UPDATE
            ) AS present
        ), edited AS (
            UPDATE tasks SET version = version + 1, updated_at = now(), {assignments}
            FROM before WHERE tasks.task_id = before.task_id AND tasks.namespace_id = :namespace_id
            RETURNING tasks.*, before.is_next, before.previous_queue, before.previous_name
        ), changed AS (
            UPDATE waiting SET version = edited.version, queue = edited.queue, lost_leases = edited.lost_leases,
                ready_at = greatest(edited.execution_time, clock_timestamp()), level = {
        columns.QUEUE_LEVEL.replace("priority", "edited.priority")
    }, concurrency_key = edited.concurrency_key
            FROM edited WHERE waiting.task_id = edited.task_id AND waiting.namespace_id = :namespace_id
        ), {stored if has_task_data else ""}{
        columns.write_log("edited", change="'updated'", status="'pending'", has_previous=True)
    }"""


def assigning(changes: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the SQL assignments of an update and their parameters; `changes` are those of `update`."""
    assignments = ", ".join(["lost_leases = 0", *(_ASSIGNMENTS[field] for field in changes)])
    return assignments, {key: value for field, change in changes.items() for key, value in _encode(field, change)}


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
