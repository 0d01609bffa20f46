"""How rows of schedules and of their logs are read and written."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, recurrence, schedule, schedule_json
from duetime_core.postgres import schema

COLUMNS = (
    "schedules.schedule_id, schedules.name, spec, template, overlap, catch_up, catch_up_window, is_paused, "
    "last_nominal_time, zone_version, schedules.version, schedules.created_at, schedules.updated_at, "
    "schedules.request_id"
)
COLUMN_COUNT = 14
NEXT = f"""
    LEFT JOIN LATERAL (
        SELECT nominal_time, task_id FROM tasks
        WHERE tasks.schedule_id = schedules.schedule_id AND {schema.UNFINISHED} AND is_next
    ) AS upcoming ON true
"""
"""What joins the next occurrence to rows of `schedules`."""
LOG_COLUMNS = "log_id, schedule_id, change, nominal_time, until, reason, task_id, actor, timestamp"

# The cast of a JSON text keeps what a caller wrote as it is.
_LOG = sa.text("""
INSERT INTO schedule_logs (schedule_id, change, nominal_time, until, reason, task_id, actor)
SELECT schedule_id, change, nominal_time, until, reason, task_id, :actor
FROM json_to_recordset(CAST(:entries AS json)) AS given (
    schedule_id bigint, change text, nominal_time timestamptz, until timestamptz, reason text, task_id bigint
)
""")

Entry = dict[str, Any]


def read_schedule(row: Sequence[Any]) -> schedule.Schedule:
    """Returns the schedule of a row that begins with COLUMNS; what comes after them are the next time and task.

    Raises ScheduleUnreadable, such as for a policy that a newer release wrote.
    """
    values = list(row)
    try:
        values[2] = schedule_json.to_spec(values[2])
        values[3] = schedule_json.to_template(values[3])
        values[4], values[5] = schedule.Overlap(values[4]), schedule.CatchUp(values[5])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise errors.ScheduleUnreadable.of(values[0], error) from error
    return schedule.Schedule(*values[: COLUMN_COUNT + 2])


def entry(schedule_id: int, change: str, **fields: Any) -> Entry:
    """Returns a line of the log, as `log` writes it."""
    return {"schedule_id": schedule_id, "change": change, **fields}


def skipped(schedule_id: int, skip: recurrence.Skip) -> Entry:
    """Returns the line that says why there is no run at that time, or at those times."""
    until = None if skip.until == skip.nominal else skip.until.isoformat()
    return entry(schedule_id, "skipped", nominal_time=skip.nominal.isoformat(), until=until, reason=skip.reason)


async def log(connection: sqlalchemy_asyncio.AsyncConnection, entries: Sequence[Entry], *, actor: str) -> None:
    """Writes lines of logs, in their order."""
    if entries:
        written = json.dumps(entries, ensure_ascii=False)
        await connection.execute(_LOG, {"entries": written, "actor": actor})
