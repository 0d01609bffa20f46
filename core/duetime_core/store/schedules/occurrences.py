"""The tasks of schedules. The caller has locked the schedules' rows."""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import recurrence, schedule, task
from duetime_core.postgres import schema
from duetime_core.store import encoding
from duetime_core.store.tasks import columns as task_columns

MOST_TAKEN = 1_000
"""How many nominal times with a task one search passes over. It is continued with the schedule's next advance."""

_FIELDS = {
    **encoding.TEMPLATE,
    "execution_time": "timestamptz",
    "nominal_time": "timestamptz",
    "schedule_id": "bigint",
    "is_next": "boolean",
    "request_id": "text",
}
_TAKES = f"schedule_id IS NOT NULL AND {schema.TAKES_NOMINAL_TIME}"
_GIVEN = f"json_to_recordset(CAST(:tasks AS json)) AS given ({encoding.record(_FIELDS)})"
_VALUES = encoding.expressions(
    _FIELDS,
    execution_time="coalesce(given.execution_time, now())",
    nominal_time="coalesce(given.nominal_time, clock_timestamp())",
)

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
            AND {_TAKES}
    ) IS NULL
    ON CONFLICT DO NOTHING
    RETURNING task_id, version, status, execution_time, retry_count, queue, name, schedule_id, nominal_time
), {task_columns.write_log("created", change="'created'")}
SELECT task_id, queue, execution_time, schedule_id, nominal_time, now() AS now FROM created ORDER BY nominal_time
""")
_TAKEN = sa.text(f"""
SELECT nominal_time FROM tasks
WHERE schedule_id = :schedule_id AND nominal_time > :after AND {_TAKES} AND NOT is_next
ORDER BY nominal_time LIMIT :limit
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
    if not tasks:
        return []
    parameters = {"tasks": json.dumps(tasks, ensure_ascii=False), "actor": actor}
    return [Placed(**row) for row in (await connection.execute(_INSERT, parameters)).mappings()]


async def taken(
    connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int, after: datetime.datetime
) -> tuple[set[datetime.datetime], datetime.datetime | None]:
    """Returns the nominal times after that moment that have a task, without the next occurrence's.

    If there are more than one search passes over, it returns the last one of them as well.
    """
    parameters = {"schedule_id": schedule_id, "after": after, "limit": MOST_TAKEN}
    found = [row[0] for row in await connection.execute(_TAKEN, parameters)]
    return set(found), found[-1] if len(found) == MOST_TAKEN else None


assert {field.name for field in dataclasses.fields(schedule.Template)} <= {
    field.name for field in dataclasses.fields(task.NewTask)
}
