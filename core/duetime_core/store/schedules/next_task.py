"""The next occurrence's task of a schedule: locking, moving, merging, releasing and withdrawing it.

The caller has locked the schedule's row before.
"""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import recurrence, schedule, task
from duetime_core.store import encoding
from duetime_core.store.schedules import occurrences
from duetime_core.store.tasks import columns

_MERGED = {**encoding.TEMPLATE, "execution_time": "timestamptz"}
_MOVED = {**_MERGED, "nominal_time": "timestamptz"}
_RETURNING = "tasks.task_id, version, tasks.status, tasks.execution_time, retry_count, tasks.queue, tasks.name"
# Locked by an earlier statement, so that no other change comes between.
_PREVIOUS = """
    SELECT queue AS previous_queue, name AS previous_name FROM tasks WHERE schedule_id = :schedule_id AND is_next
"""
_IS_PENDING = "tasks.schedule_id = :schedule_id AND tasks.is_next AND tasks.status = 'pending'"


def _values(fields: dict[str, str], source: str) -> list[str]:
    """Returns the value of each field in `given` or `before`."""
    return [value.replace("given.", f"{source}.") for value in encoding.expressions(fields)]


def _assign(fields: dict[str, str], values: Sequence[str]) -> str:
    return ", ".join(f"{encoding.column(field)} = {value}" for field, value in zip(fields, values, strict=True))


_LOCK = sa.text("""
SELECT task_id, nominal_time, execution_time, status = 'cancelled' AS is_refused FROM tasks
WHERE schedule_id = :schedule_id AND is_next FOR UPDATE
""")
_MOVE = sa.text(f"""
WITH previous AS MATERIALIZED ({_PREVIOUS}), moved AS (
    UPDATE tasks SET {_assign(_MOVED, _values(_MOVED, "given"))}, local_time = NULL, time_zone = NULL,
        version = version + 1, updated_at = now()
    FROM previous CROSS JOIN json_to_recordset(CAST(:after AS json)) AS given ({encoding.record(_MOVED)})
    WHERE {_IS_PENDING}
    RETURNING {_RETURNING}, previous_queue, previous_name, tasks.schedule_id, tasks.nominal_time
), {columns.write_log("moved", change="'updated'", has_previous=True)}
SELECT task_id, queue, execution_time, schedule_id, nominal_time, now() AS now FROM moved
""")
# A value that is still what the schedule gave becomes what it gives now; any other is a caller's.
_MERGE = sa.text(f"""
WITH merged AS MATERIALIZED (
    SELECT {
    ", ".join(
        f"CASE WHEN tasks.{encoding.column(field)} IS NOT DISTINCT FROM {old} THEN {new} "
        f"ELSE tasks.{encoding.column(field)} END AS {encoding.column(field)}"
        for field, old, new in zip(_MERGED, _values(_MERGED, "before"), _values(_MERGED, "given"), strict=True)
    )
}
    FROM json_to_recordset(CAST(:before AS json)) AS before ({encoding.record(_MERGED)})
    CROSS JOIN json_to_recordset(CAST(:after AS json)) AS given ({encoding.record(_MERGED)})
    CROSS JOIN tasks
    WHERE {_IS_PENDING}
), previous AS MATERIALIZED ({_PREVIOUS}), changed AS (
    UPDATE tasks SET {_assign(_MERGED, [f"merged.{encoding.column(field)}" for field in _MERGED])},
        version = version + 1, updated_at = now()
    FROM merged CROSS JOIN previous
    WHERE {_IS_PENDING} AND ({", ".join(f"tasks.{encoding.column(field)}" for field in _MERGED)})
        IS DISTINCT FROM ({", ".join(f"merged.{encoding.column(field)}" for field in _MERGED)})
    RETURNING {_RETURNING}, previous_queue, previous_name
), {columns.write_log("changed", change="'updated'", has_previous=True)}
SELECT {columns.CHANGED} FROM changed
""")
# One that has been due for a while is behind what workers have claimed: they find it by `schema.EARLY`.
_BECOMES_ORDINARY = """is_next = false,
    updated_at = CASE WHEN tasks.execution_time < now() - interval '0.5 s' THEN now() ELSE updated_at END"""
_DETACH = sa.text(f"""
UPDATE tasks SET {_BECOMES_ORDINARY}
FROM json_to_recordset(CAST(:before AS json)) AS before ({encoding.record(_MERGED)})
WHERE {_IS_PENDING} AND ({", ".join(f"tasks.{encoding.column(field)}" for field in _MERGED)})
    IS DISTINCT FROM ({", ".join(_values(_MERGED, "before"))})
""")
_RELEASE = sa.text(f"""
UPDATE tasks SET {_BECOMES_ORDINARY} WHERE task_id = ANY(CAST(:task_ids AS bigint[])) RETURNING {columns.CHANGED}
""")
_SKIP = sa.text(f"""
WITH skipped AS (
    UPDATE tasks SET status = 'cancelled', is_next = false, error_message = 'Skipped: ' || given.reason || '.',
        version = version + 1, updated_at = now()
    FROM json_to_recordset(CAST(:skipped AS json)) AS given (task_id bigint, reason text)
    WHERE tasks.task_id = given.task_id
    RETURNING {_RETURNING}, error_message
), {columns.write_log("skipped", change="'cancelled'", error="error_message")}
SELECT {columns.CHANGED} FROM skipped
""")
_WITHDRAW = sa.text(f"""
WITH withdrawn AS (
    UPDATE tasks SET status = 'cancelled', is_next = false, deleted_at = now(), error_message = :reason,
        version = version + 1, updated_at = now()
    WHERE {_IS_PENDING}
    RETURNING {_RETURNING}
), {columns.write_log("withdrawn", change="'deleted'", error=":reason")}
SELECT {columns.CHANGED} FROM withdrawn
""")
# A refused one is done: its nominal time stays taken.
_CLEAR_REFUSED = sa.text("""
UPDATE tasks SET is_next = false WHERE schedule_id = :schedule_id AND status = 'cancelled' AND is_next
""")


@dataclasses.dataclass(frozen=True, slots=True)
class NextTask:
    """The task of a next occurrence, locked."""

    task_id: int
    nominal_time: datetime.datetime
    execution_time: datetime.datetime
    is_refused: bool


async def lock(connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int) -> NextTask | None:
    """Returns the next occurrence's task, locked until the transaction ends; None if there is none."""
    row = (await connection.execute(_LOCK, {"schedule_id": schedule_id})).one_or_none()
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


async def clear_refused(connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int) -> None:
    """Makes a refused one no longer the next."""
    await connection.execute(_CLEAR_REFUSED, {"schedule_id": schedule_id})


async def withdraw(
    connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int, *, reason: str, actor: str
) -> list[task.Changed]:
    """Cancels and deletes the pending task, or clears a refused one; returns the cancelled one, if there is one."""
    await clear_refused(connection, schedule_id)
    parameters = {"schedule_id": schedule_id, "reason": reason, "actor": actor}
    withdrawn = await connection.execute(_WITHDRAW, parameters)
    return [columns.read_changed(row) for row in withdrawn]


def _encode(given: schedule.Schedule, due: datetime.datetime) -> str:
    encoded = {**encoding.template(given.template), "execution_time": due.isoformat()}
    return json.dumps([encoded], ensure_ascii=False)
