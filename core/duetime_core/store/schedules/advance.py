"""Advancing schedules, in the transaction that claims: when a next occurrence is due, the one after it is created.

The due one becomes an ordinary task. Both changes are one transaction, so that neither a crash nor a second worker can
separate them: a schedule that is not paused always has one next occurrence.
"""

import itertools
import json
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import advance, recurrence, schedule
from duetime_core.postgres import schema
from duetime_core.store.schedules import columns as schedule_columns
from duetime_core.store.schedules import occurrences
from duetime_core.store.tasks import columns as task_columns

_log = structlog.get_logger()

# Not EXISTS, for which PostgreSQL may read all tasks once instead of a few per schedule.
_HAS_UNFINISHED = f"""coalesce((
    SELECT true FROM tasks AS earlier
    WHERE earlier.schedule_id = schedules.schedule_id AND {schema.UNFINISHED} AND NOT earlier.is_next
    LIMIT 1
), false)"""
_WAITS = f"overlap = '{schedule.Overlap.QUEUE}' AND tasks.status = 'pending' AND {_HAS_UNFINISHED}"
_IS_DUE = f"""
    FROM tasks JOIN schedules ON schedules.schedule_id = tasks.schedule_id
    WHERE tasks.queue = :queue AND tasks.is_next AND {schema.DUE_AT} <= now()
"""
# Rows that a caller or another worker has locked are left to the next claim.
_FIND_DUE = f"""
SELECT {schedule_columns.COLUMNS}, tasks.task_id, tasks.nominal_time, tasks.execution_time,
    tasks.status = 'cancelled' AS is_cancelled, {_HAS_UNFINISHED} AS is_overlapped, coalesce((
        SELECT before.updated_at > tasks.execution_time FROM tasks AS before
        WHERE before.schedule_id = schedules.schedule_id AND NOT before.is_next AND before.deleted_at IS NULL
        ORDER BY before.nominal_time DESC LIMIT 1
    ), false) AS has_waited, now() AS now
{_IS_DUE} AND NOT ({_WAITS})
"""
_IN_ORDER = f"""
ORDER BY {schema.DUE_AT}, tasks.task_id
LIMIT :limit
FOR UPDATE OF tasks, schedules SKIP LOCKED
"""
_LOCK_DUE = sa.text(_FIND_DUE + _IN_ORDER)
_LOCK_OTHERS = sa.text(f"{_FIND_DUE} AND schedules.schedule_id <> ALL(CAST(:passed_over AS bigint[])) {_IN_ORDER}")
_MOST_PASSED_OVER = 1_000
"""How many schedules that cannot be advanced a claim passes over to find others."""
_ANY_WAITS = sa.text(f"SELECT EXISTS (SELECT {_IS_DUE} AND {_WAITS})")
_RELEASE = sa.text("UPDATE tasks SET is_next = false WHERE task_id = ANY(CAST(:task_ids AS bigint[]))")
_SKIP = sa.text(f"""
WITH skipped AS (
    UPDATE tasks SET status = 'cancelled', is_next = false, error_message = 'Skipped: ' || given.reason || '.',
        version = version + 1, updated_at = now()
    FROM json_to_recordset(CAST(:skipped AS json)) AS given (task_id bigint, reason text)
    WHERE tasks.task_id = given.task_id
    RETURNING tasks.task_id, version, status, execution_time, retry_count, queue, name, error_message
), {task_columns.write_log("skipped", change="'cancelled'", error="error_message")}
SELECT task_id FROM skipped
""")
_ADVANCE = sa.text("""
UPDATE schedules SET last_nominal_time = given.last_nominal_time, zone_version = :zone_version
FROM json_to_recordset(CAST(:advanced AS json)) AS given (schedule_id bigint, last_nominal_time timestamptz)
WHERE schedules.schedule_id = given.schedule_id
""")


async def advance_due(connection: sqlalchemy_asyncio.AsyncConnection, queue: str, *, limit: int, actor: str) -> bool:
    """Advances up to `limit` schedules with an occurrence due in `queue`; returns whether others wait for a run."""
    parameters = {"queue": queue, "limit": limit}
    due = (await connection.execute(_LOCK_DUE, parameters)).all()
    waits = bool((await connection.execute(_ANY_WAITS, {"queue": queue})).scalar_one()) if len(due) < limit else True
    passed_over: list[int] = []
    while due:
        failed = await _advance_all(connection, due, actor)
        passed_over += failed
        if not failed or len(due) < limit or len(passed_over) > _MOST_PASSED_OVER:
            break
        # The failed ones would use up the limit of those after them.
        limit = len(failed)
        others = {"queue": queue, "limit": limit, "passed_over": passed_over}
        due = (await connection.execute(_LOCK_OTHERS, others)).all()
    return waits


async def _advance_all(connection: sqlalchemy_asyncio.AsyncConnection, due: Any, actor: str) -> list[int]:
    """Advances those schedules, and returns the ids of those that could not be advanced."""
    failed: list[int] = []
    released: list[int] = []
    skipped: list[dict[str, Any]] = []
    entries: list[schedule_columns.Entry] = []
    advanced: list[dict[str, Any]] = []
    following: list[tuple[schedule.Schedule, recurrence.Occurrence]] = []
    for row in due:
        this = advance.Due(row.nominal_time, row.execution_time, row.is_cancelled, row.is_overlapped, row.has_waited)
        try:
            made = schedule_columns.read_schedule(row)
            decided = advance.plan(made, this, row.now)
        except Exception:
            # Such as a zone or a policy that only a newer release knows: the other schedules and the worker continue.
            _log.exception("a schedule cannot be advanced; it is left to other workers", schedule_id=row.schedule_id)
            failed.append(row.schedule_id)
            continue
        if decided.reason is None or row.is_cancelled:
            released.append(row.task_id)
        else:
            skipped.append({"task_id": row.task_id, "reason": decided.reason})
        entries += [schedule_columns.skipped(made.schedule_id, skip) for skip in decided.skips]
        advanced.append({"schedule_id": made.schedule_id, "last_nominal_time": decided.last_nominal.isoformat()})
        if decided.next is not None:
            following.append((made, decided.next))
    if released:
        await connection.execute(_RELEASE, {"task_ids": released})
    if skipped:
        await connection.execute(_SKIP, {"skipped": json.dumps(skipped), "actor": actor})
    await connection.execute(_ADVANCE, {"advanced": json.dumps(advanced), "zone_version": recurrence.version()})
    await schedule_columns.log(connection, entries, actor=actor)
    await _insert(connection, following, actor)
    return failed


async def _insert(
    connection: sqlalchemy_asyncio.AsyncConnection,
    following: list[tuple[schedule.Schedule, recurrence.Occurrence]],
    actor: str,
) -> None:
    encoded = [occurrences.encode(made, occurrence, is_next=True) for made, occurrence in following]
    placed = await occurrences.insert(connection, encoded, actor=actor)
    # A nominal time that already has a task, by a backfill or a trigger, is done: the one after it is next.
    missing = {made.schedule_id for made, _ in following} - {each.schedule_id for each in placed}
    for made, occurrence in itertools.filterfalse(lambda each: each[0].schedule_id not in missing, following):
        await occurrences.place_next(connection, made, occurrence.nominal, actor=actor)
