"""The clock of a schedule: when it is advanced next, and what its next occurrence was computed as."""

import datetime
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import recurrence
from duetime_core.postgres import namespaced

BEHIND = "20 seconds"
"""How long ago, at most, a schedule is written to have been due to advance."""

# Those that are far behind advance after those that are due just now, and not before the floor of what is looked at.
_SET = namespaced.text(f"""
UPDATE schedules SET last_nominal_time = given.last_nominal_time, next_nominal_time = given.next_nominal_time,
    next_due_at = given.next_due_at, is_waiting = given.is_waiting,
    advance_at = CASE
        WHEN given.advance_at < clock_timestamp() - interval '{BEHIND}' THEN clock_timestamp() - interval '{BEHIND}'
        ELSE given.advance_at
    END,
    zone_version = coalesce(given.zone_version, schedules.zone_version), advance_failures = 0, advance_error = NULL
FROM json_to_recordset(CAST(:clocks AS json)) AS given (
    schedule_id bigint, last_nominal_time timestamptz, next_nominal_time timestamptz, next_due_at timestamptz,
    advance_at timestamptz, is_waiting boolean, zone_version text
)
WHERE schedules.schedule_id = given.schedule_id AND schedules.namespace_id = :namespace_id
""")
_STOP = namespaced.text("""
UPDATE schedules SET next_nominal_time = NULL, next_due_at = NULL, advance_at = NULL, is_waiting = false,
    advance_failures = 0, advance_error = NULL
WHERE schedule_id = ANY(CAST(:schedule_ids AS bigint[])) AND namespace_id = :namespace_id
""")


def entry(
    schedule_id: int,
    upcoming: recurrence.Occurrence | None,
    *,
    last_nominal: datetime.datetime,
    advance_at: datetime.datetime | None,
    is_waiting: bool = False,
    is_current: bool = True,
) -> dict[str, Any]:
    """Returns the clock of a schedule for `write`.

    `is_current` says whether the next occurrence was computed with this process's time zone database.
    """
    return {
        "schedule_id": schedule_id,
        "last_nominal_time": last_nominal.isoformat(),
        "next_nominal_time": None if upcoming is None else upcoming.nominal.isoformat(),
        "next_due_at": None if upcoming is None else upcoming.due.isoformat(),
        "advance_at": None if advance_at is None else advance_at.isoformat(),
        "is_waiting": is_waiting,
        "zone_version": recurrence.version() if is_current else None,
    }


async def write(connection: sqlalchemy_asyncio.AsyncConnection, clocks: Sequence[dict[str, Any]]) -> None:
    """Sets the clocks of schedules; a failure to advance them is forgotten."""
    if clocks:
        await connection.execute(_SET, {"clocks": json.dumps(clocks)})


async def stop(connection: sqlalchemy_asyncio.AsyncConnection, schedule_ids: Sequence[int]) -> None:
    """Stops the clocks of schedules that are paused, deleted or have ended."""
    if schedule_ids:
        await connection.execute(_STOP, {"schedule_ids": schedule_ids})
