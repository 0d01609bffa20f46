"""Tasks in local time: moved when an update of the time zone database changes their instant."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import recurrence, task
from duetime_core.postgres import database, namespaced
from duetime_core.process import patience
from duetime_core.store.tasks import columns

_AT_ONCE = 500

_log = structlog.get_logger()

# A task that waits for a retry has already reached its local time.
_READ = namespaced.text("""
SELECT task_id, execution_time, local_time, time_zone FROM tasks
WHERE namespace_id = :namespace_id AND time_zone IS NOT NULL AND task_id > :after AND retry_count = 0
    AND execution_time > now()
ORDER BY task_id LIMIT :limit
""")
_MOVE = namespaced.text(f"""
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:tasks AS json)) AS given (
        task_id bigint, execution_time timestamptz, local_time timestamp, time_zone text
    )
), locked AS MATERIALIZED (  -- not those that another session has locked: the others would wait, too
    SELECT task_id FROM waiting
    WHERE task_id = ANY(ARRAY(SELECT task_id FROM given)) AND namespace_id = :namespace_id
    ORDER BY task_id
    FOR UPDATE SKIP LOCKED
), present AS MATERIALIZED (
    SELECT given.* FROM locked JOIN given USING (task_id) CROSS JOIN LATERAL (
        SELECT FROM tasks
        WHERE tasks.task_id = locked.task_id AND tasks.namespace_id = :namespace_id AND retry_count = 0
            AND tasks.local_time = given.local_time AND tasks.time_zone = given.time_zone
        FOR UPDATE SKIP LOCKED
    ) AS same
), moved AS (
    UPDATE tasks SET execution_time = greatest(present.execution_time, now()), version = version + 1, updated_at = now()
    FROM present WHERE tasks.task_id = present.task_id AND tasks.namespace_id = :namespace_id
    RETURNING tasks.task_id, version, 'pending' AS status, tasks.execution_time, retry_count, queue, name, namespace_id
), changed AS (
    UPDATE waiting SET version = moved.version, ready_at = greatest(moved.execution_time, clock_timestamp())
    FROM moved WHERE waiting.task_id = moved.task_id AND waiting.namespace_id = :namespace_id
), {columns.write_log("moved", change="'updated'", status="status")}
SELECT {columns.CHANGED} FROM moved
""")


class Position(NamedTuple):
    """How far the tasks were read, and before which of them to begin again, because it was passed over."""

    after: int = 0
    again_after: int | None = None


async def recompute(
    engine: sqlalchemy_asyncio.AsyncEngine, position: Position | None = None, *, seconds: float, actor: str
) -> tuple[list[task.Changed], Position, bool]:
    """Moves pending tasks from a position on whose local time is now another instant, for up to `seconds`.

    Tasks that another session has locked are passed over, and looked at again after the last one. Returns the moved
    tasks, the position from which another call continues, and whether any remain.
    """
    moved: list[task.Changed] = []
    ends = time.monotonic() + seconds
    waiting, counted = patience.Patience(ends), 0
    after, again_after = position or Position()
    while True:
        with database.unavailable():
            async with engine.connect() as connection:
                found = (await connection.execute(_READ, {"after": after, "limit": _AT_ONCE})).all()
                wrong = _wrong(found)
                done = await _move(connection, wrong, actor) if wrong else []
        moved += done
        passed_over = wrong.keys() - {each.task_id for each in done}
        if passed_over and again_after is None:
            again_after = min(passed_over) - 1
        after = found[-1].task_id if found else after
        if len(found) < _AT_ONCE:
            if again_after is None:
                return moved, Position(after), False
            after, again_after = again_after, None
            if not await waiting.wait(has_progress=len(moved) > counted):
                return moved, Position(after), True
            counted = len(moved)
        elif time.monotonic() >= ends:
            return moved, Position(after, again_after), True


def _wrong(found: Sequence[sa.Row[Any]]) -> dict[int, dict[str, Any]]:
    """Returns those of the tasks that are due at another instant than that of their local time, with the right one."""
    wrong = {}
    for row in found:
        try:
            (instant,) = recurrence.instants(row.local_time, recurrence.zone(row.time_zone))
        except (OverflowError, recurrence.UnknownZoneError) as error:
            _log.warning("a task is not recomputed", task_id=row.task_id, reason=str(error))
            continue
        if instant != row.execution_time:
            wrong[row.task_id] = {
                "task_id": row.task_id,
                "execution_time": instant.isoformat(),
                "local_time": row.local_time.isoformat(),
                "time_zone": row.time_zone,
            }
    return wrong


async def _move(
    connection: sqlalchemy_asyncio.AsyncConnection, wrong: Mapping[int, dict[str, Any]], actor: str
) -> list[task.Changed]:
    parameters = {"tasks": json.dumps(list(wrong.values())), "actor": actor}
    return [columns.read_changed(row) for row in await connection.execute(_MOVE, parameters)]
