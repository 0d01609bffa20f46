"""The tasks of schedules. The caller has locked the schedules' rows."""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import advance, errors, recurrence, schedule, task
from duetime_core.store import encoding
from duetime_core.store.schedules import columns as schedule_columns
from duetime_core.store.tasks import columns as task_columns

_MOST_TAKEN = 1_000
"""How many nominal times in a row may already have a task."""

_MOVED = {**encoding.TEMPLATE, "execution_time": "timestamptz", "nominal_time": "timestamptz"}
_FIELDS = {**_MOVED, "schedule_id": "bigint", "is_next": "boolean", "request_id": "text"}
_GIVEN = f"json_to_recordset(CAST(:tasks AS json)) AS given ({encoding.record(_FIELDS)})"
_VALUES = encoding.expressions(
    _FIELDS,
    execution_time="coalesce(given.execution_time, now())",
    nominal_time="coalesce(given.nominal_time, clock_timestamp())",
)
_ASSIGNMENTS = [
    f"{encoding.column(field)} = {value}" for field, value in zip(_MOVED, encoding.expressions(_MOVED), strict=True)
]

# The execution_time is not raised to now: lateness is measured from when an occurrence was due. A conflicting row has
# already drawn its id, so nominal times with a task are excluded first: only one that is taken concurrently costs an
# id. A request_id may conflict too. The nominal time of a triggered task is when it got the schedule's lock: two
# triggers that began in the same microsecond differ.
_INSERT = sa.text(f"""
WITH created AS (
    INSERT INTO tasks (status, {encoding.columns(_FIELDS)})
    SELECT 'pending', {", ".join(_VALUES)}
    FROM {_GIVEN}
    WHERE (
        SELECT true FROM tasks AS present
        WHERE present.schedule_id = given.schedule_id AND present.nominal_time = given.nominal_time
            AND present.deleted_at IS NULL
    ) IS NULL
    ON CONFLICT DO NOTHING
    RETURNING task_id, version, status, execution_time, retry_count, queue, name, schedule_id, nominal_time
), {task_columns.write_log("created", change="'created'")}
SELECT task_id, queue, execution_time, schedule_id, nominal_time, now() AS now FROM created ORDER BY nominal_time
""")
_MOVE = sa.text(f"""
WITH before AS MATERIALIZED (
    -- Locked, so that the log has what the change replaced, not what an older snapshot sees.
    SELECT tasks.task_id, tasks.queue AS previous_queue, tasks.name AS previous_name, tasks.schedule_id
    FROM tasks WHERE schedule_id = ANY(ARRAY(SELECT schedule_id FROM {_GIVEN})) AND status = 'pending' AND is_next
    ORDER BY tasks.task_id
    FOR UPDATE
), moved AS (
    UPDATE tasks SET {", ".join(_ASSIGNMENTS)}, version = version + 1, updated_at = now()
    FROM before JOIN {_GIVEN} ON given.schedule_id = before.schedule_id
    WHERE tasks.task_id = before.task_id AND tasks.status = 'pending' AND tasks.is_next
    RETURNING tasks.task_id, version, tasks.status, tasks.execution_time, retry_count, tasks.queue, tasks.name,
        tasks.schedule_id, tasks.nominal_time, before.previous_queue, before.previous_name
), {task_columns.write_log("moved", change="'updated'", has_previous=True)}
SELECT task_id, queue, execution_time, schedule_id, nominal_time, now() AS now FROM moved
""")
_WITHDRAW = sa.text(f"""
WITH withdrawn AS (
    UPDATE tasks SET status = 'cancelled', is_next = false, deleted_at = now(), error_message = :reason,
        version = version + 1, updated_at = now()
    WHERE schedule_id = :schedule_id AND status = 'pending' AND is_next
    RETURNING task_id, version, status, execution_time, retry_count, queue, name
), {task_columns.write_log("withdrawn", change="'deleted'", error=":reason")}
SELECT {task_columns.CHANGED} FROM withdrawn
""")
# A cancelled next occurrence is done: another one becomes the next.
_CLEAR_NEXT = sa.text("""
UPDATE tasks SET is_next = false WHERE schedule_id = :schedule_id AND status = 'cancelled' AND is_next
""")
_IS_TAKEN = sa.text("""
SELECT EXISTS (
    SELECT FROM tasks WHERE schedule_id = :schedule_id AND nominal_time = :nominal_time AND deleted_at IS NULL
        AND NOT (is_next AND status = 'pending')
)
""")


@dataclasses.dataclass(slots=True, kw_only=True)
class Placed(task.Changed):
    """The pending task of an occurrence."""

    schedule_id: int
    nominal_time: datetime.datetime


def encode(
    made: schedule.Schedule,
    occurrence: recurrence.Occurrence | None,
    *,
    is_next: bool,
    is_late: bool = False,
    request_id: str | None = None,
) -> dict[str, Any]:
    """Returns the task of an occurrence for `insert`, or of one now if `occurrence` is None.

    If `is_late`, it is due now, not at the occurrence's time.
    """
    return {
        **encoding.template(made.template),
        "execution_time": None if occurrence is None or is_late else occurrence.due.isoformat(),
        "schedule_id": made.schedule_id,
        "nominal_time": None if occurrence is None else occurrence.nominal.isoformat(),
        "is_next": is_next,
        "request_id": request_id,
    }


async def insert(
    connection: sqlalchemy_asyncio.AsyncConnection, tasks: Sequence[dict[str, Any]], *, actor: str
) -> list[Placed]:
    """Creates those tasks whose nominal time and request_id have none yet, and returns them by nominal time."""
    return await _write(connection, _INSERT, tasks, actor) if tasks else []


async def place_next(
    connection: sqlalchemy_asyncio.AsyncConnection, made: schedule.Schedule, after: datetime.datetime, *, actor: str
) -> Sequence[task.Changed]:
    """Moves the schedule's pending task to the first occurrence after `after`, or creates one; returns the Placed one.

    Occurrences skipped before it are logged. If the schedule is over, returns its pending task withdrawn, or nothing if
    there was none. Raises ScheduleUnreadable, such as for a zone that no longer exists.
    """
    await connection.execute(_CLEAR_NEXT, {"schedule_id": made.schedule_id})
    skips: list[recurrence.Skip] = []
    for _ in range(_MOST_TAKEN):
        try:
            more, occurrence = advance.first(made.spec, after, made.seed)
        except ValueError as error:
            raise errors.ScheduleUnreadable.of(made.schedule_id, error) from error
        skips += more
        if occurrence is None:
            break
        parameters = {"schedule_id": made.schedule_id, "nominal_time": occurrence.nominal}
        if not (await connection.execute(_IS_TAKEN, parameters)).scalar_one():
            break
        after = occurrence.nominal
    entries = [schedule_columns.skipped(made.schedule_id, skip) for skip in skips]
    await schedule_columns.log(connection, entries, actor=actor)
    if occurrence is None:
        return await withdraw(connection, made.schedule_id, reason="The schedule has no later occurrence.", actor=actor)
    encoded = [encode(made, occurrence, is_next=True)]
    return await _write(connection, _MOVE, encoded, actor) or await insert(connection, encoded, actor=actor)


async def withdraw(
    connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int, *, reason: str, actor: str
) -> list[task.Changed]:
    """Cancels and deletes the schedule's pending occurrence, and returns its task if there is one."""
    await connection.execute(_CLEAR_NEXT, {"schedule_id": schedule_id})
    parameters = {"schedule_id": schedule_id, "reason": reason, "actor": actor}
    withdrawn = await connection.execute(_WITHDRAW, parameters)
    return [task_columns.read_changed(row) for row in withdrawn]


async def _write(
    connection: sqlalchemy_asyncio.AsyncConnection,
    statement: sa.TextClause,
    tasks: Sequence[dict[str, Any]],
    actor: str,
) -> list[Placed]:
    written = await connection.execute(statement, {"tasks": json.dumps(tasks, ensure_ascii=False), "actor": actor})
    return [Placed(**row) for row in written.mappings()]


assert {field.name for field in dataclasses.fields(schedule.Template)} <= {
    field.name for field in dataclasses.fields(task.NewTask)
}
