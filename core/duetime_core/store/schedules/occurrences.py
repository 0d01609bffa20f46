"""The tasks of schedules. The caller has locked the schedules' rows."""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import recurrence, schedule, task
from duetime_core.postgres import namespaced
from duetime_core.store import encoding
from duetime_core.store.tasks import columns as task_columns
from duetime_core.store.tasks import payloads

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
_GIVEN = f"json_to_recordset(CAST(:tasks AS json)) AS given ({encoding.record(_FIELDS)})"
_VALUES = encoding.expressions(
    _FIELDS,
    execution_time="coalesce(given.execution_time, now())",
    nominal_time="coalesce(given.nominal_time, clock_timestamp())",
)

_STORED = [field for field in _FIELDS if field != "is_next"]
_INSERTED = ", ".join(payloads.inline(field) if field == "task_data" else field for field in _STORED)
# The execution_time is not raised to now: lateness is measured from when an occurrence was due. Ids are drawn for
# nominal times without a task alone: only one that is taken concurrently costs an id. A request_id may conflict too.
# The nominal time of a triggered task is when it got the schedule's lock: two triggers that began in the same
# microsecond differ.
_INSERT = namespaced.text(f"""
WITH candidates AS MATERIALIZED (
    SELECT {", ".join(f"{value} AS {field}" for field, value in zip(_FIELDS, _VALUES, strict=True))} FROM {_GIVEN}
), input AS MATERIALIZED (
    SELECT nextval('tasks_task_id_seq') AS task_id, candidates.* FROM candidates
    WHERE NOT EXISTS (
        SELECT FROM nominal_times
        WHERE nominal_times.schedule_id = candidates.schedule_id
            AND nominal_times.nominal_time = candidates.nominal_time
        OFFSET 0
    )
), named AS (
    INSERT INTO request_ids (namespace_id, request_id, task_id)
    SELECT :namespace_id, request_id, task_id FROM input WHERE request_id IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING task_id
), timed AS (
    INSERT INTO nominal_times (schedule_id, nominal_time, task_id) SELECT schedule_id, nominal_time, task_id FROM input
    WHERE request_id IS NULL OR task_id IN (SELECT task_id FROM named)
    ON CONFLICT DO NOTHING
    RETURNING task_id
), created AS (
    INSERT INTO tasks (task_id, {encoding.columns(_STORED)}, namespace_id) OVERRIDING SYSTEM VALUE
    SELECT task_id, {_INSERTED}, :namespace_id FROM input WHERE task_id IN (SELECT task_id FROM timed)
    RETURNING *
), waits AS (
    INSERT INTO waiting (task_id, queue, ready_at, version, level, is_next, concurrency_key, schedule_id, namespace_id)
    SELECT created.task_id, created.queue, greatest(created.execution_time, clock_timestamp()), version,
        {task_columns.QUEUE_LEVEL.replace("priority", "created.priority")}, is_next, created.concurrency_key,
        created.schedule_id, created.namespace_id
    FROM created JOIN input ON input.task_id = created.task_id
), {payloads.OF_CREATED}, {task_columns.write_log("created", change="'created'", status="'pending'")}
SELECT task_id, queue, execution_time, schedule_id, nominal_time, now() AS now, namespace_id
FROM created ORDER BY nominal_time
""")
_TAKEN = namespaced.text("""
SELECT nominal_time FROM nominal_times
WHERE schedule_id = :schedule_id AND nominal_time > :after
    AND nominal_time IS DISTINCT FROM (
        SELECT next_nominal_time FROM schedules WHERE schedule_id = :schedule_id AND namespace_id = :namespace_id
    )
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
