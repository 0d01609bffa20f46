"""The next occurrence's task of a schedule: locking, moving, merging, releasing and withdrawing it.

The caller has locked the schedule's row before.
"""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import recurrence, schedule, task
from duetime_core.postgres import namespaced
from duetime_core.store import encoding
from duetime_core.store.schedules import occurrences
from duetime_core.store.tasks import columns, payloads

_MERGED = {**encoding.TEMPLATE, "execution_time": "timestamptz"}
_MOVED = {**_MERGED, "nominal_time": "timestamptz"}
REFUSED = """
    SELECT task_id, nominal_times.nominal_time, coalesce(next_due_at, nominal_times.nominal_time) AS due_at
    FROM schedules JOIN nominal_times ON nominal_times.schedule_id = schedules.schedule_id
        AND nominal_times.nominal_time = next_nominal_time
    WHERE schedules.schedule_id = {} AND schedules.namespace_id = :namespace_id
"""
"""The next occurrence of a schedule that has no next task: a caller refused it, so that its nominal time is taken."""
# Locked by an earlier statement, so that no other change comes between.
_PREVIOUS = f"""
    SELECT {", ".join(f"tasks.{column}" for column in columns.KEPT if column != "task_data")},
        {payloads.of("tasks")} AS task_data, tasks.task_id AS next_id, tasks.queue AS previous_queue,
        tasks.name AS previous_name
    FROM waiting JOIN tasks USING (task_id)
    WHERE waiting.schedule_id = :schedule_id AND waiting.namespace_id = :namespace_id
        AND tasks.namespace_id = :namespace_id AND is_next
"""


def _change_waiting(changed: str) -> str:
    """Returns the CTE that brings the rows of `waiting` up to date with those of `changed`."""
    return f"""waits AS (
    UPDATE waiting SET version = {changed}.version, queue = {changed}.queue,
        concurrency_key = {changed}.concurrency_key, ready_at = greatest({changed}.execution_time, clock_timestamp()),
        level = {columns.QUEUE_LEVEL.replace("priority", f"{changed}.priority")}
    FROM {changed} WHERE waiting.task_id = {changed}.task_id AND waiting.namespace_id = :namespace_id
)"""


def _values(fields: dict[str, str], source: str) -> list[str]:
    """Returns the value of each field in `given` or `before`."""
    return [value.replace("given.", f"{source}.") for value in encoding.expressions(fields)]


def _assign(fields: dict[str, str], values: Sequence[str]) -> str:
    return ", ".join(
        f"{encoding.column(field)} = {payloads.assign(value) if field == 'task_data' else value}"
        for field, value in zip(fields, values, strict=True)
    )


_LOCK_WAITING = namespaced.text("""
SELECT task_id FROM waiting
WHERE schedule_id = :schedule_id AND namespace_id = :namespace_id AND is_next FOR UPDATE
""")
_LOCK = namespaced.text("""
SELECT task_id, nominal_time, execution_time, false AS is_refused FROM tasks
WHERE task_id = :task_id AND namespace_id = :namespace_id FOR UPDATE
""")
IS_RETRIED = """(
    EXISTS (
        SELECT FROM tasks WHERE tasks.task_id = refused.task_id AND tasks.namespace_id = :namespace_id OFFSET 0
    ) OR EXISTS (
        SELECT FROM ended_tasks
        WHERE task_id = refused.task_id AND namespace_id = :namespace_id AND status <> 'cancelled' OFFSET 0
    )
)"""
"""Whether a caller retried the task of REFUSED: it runs on its own, and its nominal time is not skipped."""
_REFUSED = namespaced.text(f"""
SELECT refused.*, true AS is_refused, {IS_RETRIED} AS is_retried FROM ({REFUSED.format(":schedule_id")}) AS refused
""")
_MOVE = namespaced.text(f"""
WITH previous AS MATERIALIZED ({_PREVIOUS}), given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:after AS json)) AS given ({encoding.record(_MOVED)})
), moved AS (
    UPDATE tasks SET {_assign(_MOVED, _values(_MOVED, "given"))}, local_time = NULL, time_zone = NULL,
        version = tasks.version + 1, updated_at = now()
    FROM previous CROSS JOIN given WHERE tasks.task_id = next_id AND tasks.namespace_id = :namespace_id
    RETURNING tasks.*, previous_queue, previous_name, previous.nominal_time AS previous_time
), {_change_waiting("moved")}, {
    payloads.store("SELECT moved.task_id, given.task_data FROM moved CROSS JOIN given WHERE moved.task_data IS NULL")
}, freed AS (
    DELETE FROM nominal_times USING moved WHERE nominal_times.schedule_id = moved.schedule_id
        AND nominal_times.nominal_time = previous_time AND previous_time <> moved.nominal_time
), timed AS (
    INSERT INTO nominal_times (schedule_id, nominal_time, task_id) SELECT schedule_id, nominal_time, task_id FROM moved
    ON CONFLICT DO NOTHING
), {columns.write_log("moved", change="'updated'", status="'pending'", has_previous=True)}
SELECT task_id, queue, execution_time, schedule_id, nominal_time, now() AS now, namespace_id FROM moved
""")
# A value that is still what the schedule gave becomes what it gives now; any other is a caller's.
_MERGE = namespaced.text(f"""
WITH previous AS MATERIALIZED ({_PREVIOUS}), merged AS MATERIALIZED (
    SELECT {
    ", ".join(
        f"CASE WHEN previous.{encoding.column(field)} IS NOT DISTINCT FROM {old} THEN {new} "
        f"ELSE previous.{encoding.column(field)} END AS {encoding.column(field)}"
        for field, old, new in zip(_MERGED, _values(_MERGED, "before"), _values(_MERGED, "given"), strict=True)
    )
}
    FROM json_to_recordset(CAST(:before AS json)) AS before ({encoding.record(_MERGED)})
    CROSS JOIN json_to_recordset(CAST(:after AS json)) AS given ({encoding.record(_MERGED)})
    CROSS JOIN previous
), changed AS (
    UPDATE tasks SET {_assign(_MERGED, [f"merged.{encoding.column(field)}" for field in _MERGED])},
        version = tasks.version + 1, updated_at = now()
    FROM previous CROSS JOIN merged
    WHERE tasks.task_id = next_id AND tasks.namespace_id = :namespace_id AND ({
    ", ".join(f"previous.{encoding.column(field)}" for field in _MERGED)
})
        IS DISTINCT FROM ({", ".join(f"merged.{encoding.column(field)}" for field in _MERGED)})
    RETURNING tasks.*, 'pending' AS status, previous_queue, previous_name
), {_change_waiting("changed")}, {
    payloads.store("SELECT task_id, merged.task_data FROM changed CROSS JOIN merged WHERE changed.task_data IS NULL")
}, {columns.write_log("changed", change="'updated'", status="status", has_previous=True)}
SELECT {columns.CHANGED} FROM changed
""")
_DETACH = namespaced.text(f"""
WITH previous AS MATERIALIZED ({_PREVIOUS}), edited AS MATERIALIZED (
    SELECT next_id, previous.execution_time
    FROM previous CROSS JOIN json_to_recordset(CAST(:before AS json)) AS before ({encoding.record(_MERGED)})
    WHERE ({", ".join(f"previous.{encoding.column(field)}" for field in _MERGED)})
        IS DISTINCT FROM ({", ".join(_values(_MERGED, "before"))})
)
UPDATE waiting SET is_next = false, ready_at = greatest(edited.execution_time, clock_timestamp())
FROM edited WHERE waiting.task_id = next_id AND waiting.namespace_id = :namespace_id
""")
_RELEASE = namespaced.text("""
UPDATE waiting SET is_next = false, ready_at = greatest(tasks.execution_time, clock_timestamp())
FROM tasks WHERE waiting.task_id = ANY(CAST(:task_ids AS bigint[])) AND waiting.namespace_id = :namespace_id AND is_next
    AND tasks.task_id = waiting.task_id AND tasks.namespace_id = :namespace_id
RETURNING tasks.task_id, tasks.queue, tasks.execution_time, now(), tasks.namespace_id, 'pending' AS status
""")
_KEPT = ", ".join(f"tasks.{column}" for column in columns.KEPT if column not in {"version", "error_message"})


def _end(given: str, error: str, change: str, *, is_deleted: bool) -> str:
    """Returns the CTEs that cancel the next tasks of `given`, with task_id and reason."""
    deleted = "now()" if is_deleted else "NULL"
    return f"""given AS MATERIALIZED ({given}), gone AS (
    DELETE FROM waiting USING given
    WHERE waiting.task_id = given.task_id AND waiting.namespace_id = :namespace_id AND is_next
    RETURNING waiting.task_id, {error} AS error_message
), removed AS (
    DELETE FROM tasks USING gone WHERE tasks.task_id = gone.task_id AND tasks.namespace_id = :namespace_id
    RETURNING {_KEPT}, tasks.version + 1 AS version, gone.error_message, 'cancelled' AS status
), {columns.end("removed", status="status", assigned="executed_at", deleted=deleted)}, {
        columns.write_log("removed", change=f"'{change}'", status="status", error="error_message")
    }"""


_SKIP = namespaced.text(f"""
WITH {
    _end(
        "SELECT * FROM json_to_recordset(CAST(:skipped AS json)) AS skipped (task_id bigint, reason text)",
        "'Skipped: ' || given.reason || '.'",
        "cancelled",
        is_deleted=False,
    )
}
SELECT {columns.CHANGED} FROM removed
""")
_WITHDRAW = namespaced.text(f"""
WITH {
    _end(
        "SELECT task_id FROM waiting WHERE schedule_id = :schedule_id AND namespace_id = :namespace_id AND is_next",
        "CAST(:reason AS text)",
        "deleted",
        is_deleted=True,
    )
}, freed AS (
    DELETE FROM nominal_times USING removed
    WHERE nominal_times.schedule_id = removed.schedule_id AND nominal_times.nominal_time = removed.nominal_time
)
SELECT {columns.CHANGED} FROM removed
""")


@dataclasses.dataclass(frozen=True, slots=True)
class NextTask:
    """The task of a next occurrence, locked."""

    task_id: int
    nominal_time: datetime.datetime
    execution_time: datetime.datetime
    is_refused: bool
    is_retried: bool = False


async def lock(connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int) -> NextTask | None:
    """Returns the next occurrence's task, locked until the transaction ends; None if there is none."""
    parameters = {"schedule_id": schedule_id}
    task_id = (await connection.execute(_LOCK_WAITING, parameters)).scalar()
    if task_id is None:
        row = (await connection.execute(_REFUSED, parameters)).one_or_none()
    else:
        row = (await connection.execute(_LOCK, {"task_id": task_id})).one_or_none()
    return None if row is None else NextTask(*row)


async def move(
    connection: sqlalchemy_asyncio.AsyncConnection,
    made: schedule.Schedule,
    occurrence: recurrence.Occurrence,
    *,
    actor: str,
) -> list[occurrences.Placed]:
    """Makes the pending task that of another occurrence, as the schedule gives it."""
    encoded = json.dumps([occurrences.encode(made, occurrence, is_next=True)], ensure_ascii=False)
    moved = await connection.execute(_MOVE, {"schedule_id": made.schedule_id, "after": encoded, "actor": actor})
    return [occurrences.Placed(**row) for row in moved.mappings()]


async def merge(
    connection: sqlalchemy_asyncio.AsyncConnection,
    before: schedule.Schedule,
    was_due: datetime.datetime,
    after: schedule.Schedule,
    due: datetime.datetime,
    *,
    actor: str,
) -> list[task.Changed]:
    """Gives the pending task what the schedule gives now, but keeps what a caller changed; returns it if it changed."""
    parameters = {
        "schedule_id": after.schedule_id,
        "before": _encode(before, was_due),
        "after": _encode(after, due),
        "actor": actor,
    }
    return [columns.read_changed(row) for row in await connection.execute(_MERGE, parameters)]


async def detach_edited(
    connection: sqlalchemy_asyncio.AsyncConnection, before: schedule.Schedule, was_due: datetime.datetime
) -> None:
    """Makes the pending task an ordinary one, for its nominal time, if a caller changed it."""
    parameters = {"schedule_id": before.schedule_id, "before": _encode(before, was_due)}
    await connection.execute(_DETACH, parameters)


async def release(connection: sqlalchemy_asyncio.AsyncConnection, task_ids: Sequence[int]) -> list[task.Changed]:
    """Makes next occurrences ordinary tasks, which workers claim."""
    released = await connection.execute(_RELEASE, {"task_ids": task_ids}) if task_ids else ()
    return [columns.read_changed(row) for row in released]


async def skip(
    connection: sqlalchemy_asyncio.AsyncConnection, skipped: Sequence[dict[str, Any]], *, actor: str
) -> list[task.Changed]:
    """Cancels next occurrences, given as task_id and reason."""
    parameters = {"skipped": json.dumps(skipped), "actor": actor}
    cancelled = await connection.execute(_SKIP, parameters) if skipped else ()
    return [columns.read_changed(row) for row in cancelled]


async def withdraw(
    connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int, *, reason: str, actor: str
) -> list[task.Changed]:
    """Cancels and deletes the pending task, if there is one; returns the cancelled one, if there is one."""
    parameters = {"schedule_id": schedule_id, "reason": reason, "actor": actor}
    withdrawn = await connection.execute(_WITHDRAW, parameters)
    return [columns.read_changed(row) for row in withdrawn]


def _encode(given: schedule.Schedule, due: datetime.datetime) -> str:
    encoded = {**encoding.template(given.template), "execution_time": due.isoformat()}
    return json.dumps([encoded], ensure_ascii=False)
