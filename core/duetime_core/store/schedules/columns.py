"""Reading and writing the rows of schedules and of their logs."""

import datetime
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, recurrence, schedule, schedule_json
from duetime_core.postgres import namespaced

COLUMNS = (
    "schedules.schedule_id, schedules.name, spec, template, overlap, catch_up, catch_up_window, is_paused, "
    "last_nominal_time, zone_version, schedules.version, schedules.created_at, schedules.updated_at, "
    "schedules.request_id, next_nominal_time, next_due_at, advance_at, is_waiting, advance_failures, advance_error"
)
NEXT_COLUMNS = "upcoming.nominal_time AS next_time, upcoming.task_id AS next_task_id"
"""The columns of NEXT."""


def next_id(schedule_id: str, nominal_time: str) -> str:
    """Returns the SQL of the id of a schedule's next task, given as expressions; `nominal_time` is what it should be.

    By its nominal time it is found whatever tasks the schedule had before. By the schedule alone, the entries of all
    its next tasks since an old snapshot are read: for one that an earlier release placed, or if it has none.
    """
    return f"""coalesce((
        SELECT of_waiting.task_id FROM nominal_times CROSS JOIN LATERAL (
            SELECT task_id FROM waiting
            WHERE waiting.task_id = nominal_times.task_id AND waiting.namespace_id = :namespace_id AND is_next OFFSET 0
        ) AS of_waiting
        WHERE nominal_times.schedule_id = {schedule_id} AND nominal_times.nominal_time = {nominal_time}
    ), (
        SELECT task_id FROM waiting
        WHERE waiting.schedule_id = {schedule_id} AND waiting.namespace_id = :namespace_id AND is_next
    ))"""


NEXT = f"""
    LEFT JOIN LATERAL (
        SELECT nominal_time, task_id FROM tasks
        WHERE tasks.namespace_id = :namespace_id
            AND tasks.task_id = {next_id("schedules.schedule_id", "schedules.next_nominal_time")}
    ) AS upcoming ON true
"""
"""The join of a schedule's next occurrence."""
LOG_COLUMNS = "log_id, schedule_id, change, nominal_time, until, reason, task_id, actor, timestamp"

# Casting one JSON text keeps a caller's text unchanged.
_LOG = namespaced.text("""
INSERT INTO schedule_logs (namespace_id, schedule_id, change, nominal_time, until, reason, task_id, actor, timestamp)
SELECT :namespace_id, schedule_id, change, nominal_time, until, reason, task_id, :actor,
    coalesce(CAST(:at AS timestamptz), now())
FROM json_to_recordset(CAST(:entries AS json)) AS given (
    schedule_id bigint, change text, nominal_time timestamptz, until timestamptz, reason text, task_id bigint
)
""")

Entry = dict[str, Any]


def read_schedule(row: sa.Row[Any]) -> schedule.Schedule:
    """Returns the schedule of a row with COLUMNS, and with NEXT_COLUMNS where the statement has them.

    Raises ScheduleUnreadable, such as for a policy that a newer release wrote.
    """
    try:
        spec, template = schedule_json.to_spec(row.spec), schedule_json.to_template(row.template)
        overlap, catch_up = schedule.Overlap(row.overlap), schedule.CatchUp(row.catch_up)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise errors.ScheduleUnreadable.of(row.schedule_id, error) from error
    return schedule.Schedule(
        schedule_id=row.schedule_id,
        name=row.name,
        spec=spec,
        template=template,
        overlap=overlap,
        catch_up=catch_up,
        catch_up_window=row.catch_up_window,
        is_paused=row.is_paused,
        last_nominal_time=row.last_nominal_time,
        zone_version=row.zone_version,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        request_id=row.request_id,
        next_time=getattr(row, "next_time", None),
        next_task_id=getattr(row, "next_task_id", None),
        next_nominal_time=row.next_nominal_time,
        next_due_at=row.next_due_at,
        advance_at=row.advance_at,
        is_waiting=row.is_waiting,
        advance_failures=row.advance_failures,
        advance_error=row.advance_error,
    )


def entry(schedule_id: int, change: str, **fields: Any) -> Entry:
    """Returns a log row for `log`."""
    return {"schedule_id": schedule_id, "change": change, **fields}


def skipped(schedule_id: int, skip: recurrence.Skip) -> Entry:
    """Returns the log row of one or several skipped occurrences, with the reason."""
    until = None if skip.until == skip.nominal else skip.until.isoformat()
    return entry(schedule_id, "skipped", nominal_time=skip.nominal.isoformat(), until=until, reason=skip.reason)


async def log(
    connection: sqlalchemy_asyncio.AsyncConnection,
    entries: Sequence[Entry],
    *,
    actor: str,
    at: datetime.datetime | None = None,
) -> None:
    """Writes log rows, in order, with that time, which by default is when the transaction began.

    A change that waited for the schedule's lock is logged with the time from which it counts occurrences.
    """
    if entries:
        written = json.dumps(entries, ensure_ascii=False)
        await connection.execute(_LOG, {"entries": written, "actor": actor, "at": at})
