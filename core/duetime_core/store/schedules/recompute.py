"""Recomputing schedules: moving their next occurrences when the time zone database changes."""

import time
from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, recurrence, task
from duetime_core.postgres import database
from duetime_core.store.schedules import columns, reconcile

_RECOMPUTED_AT_ONCE = 100

_STALE = sa.text(f"""
SELECT {columns.COLUMNS}, now() AS now, (
    SELECT nominal_time FROM waiting JOIN tasks USING (task_id)
    WHERE waiting.schedule_id = schedules.schedule_id AND is_next
) AS next_time
FROM schedules
WHERE schedule_id > :after AND zone_version <> :zone_version AND NOT is_paused AND deleted_at IS NULL
ORDER BY schedule_id LIMIT :limit
FOR UPDATE SKIP LOCKED
""")
_IS_CURRENT = sa.text(
    "UPDATE schedules SET zone_version = :zone_version WHERE schedule_id = ANY(CAST(:schedule_ids AS bigint[]))"
)
_ANY_STALE = sa.text("""
SELECT EXISTS (
    SELECT FROM schedules WHERE schedule_id > 0 AND zone_version <> :zone_version AND NOT is_paused
        AND deleted_at IS NULL AND schedule_id <> ALL(CAST(:unreadable AS bigint[]))
)
""")

_log = structlog.get_logger()


async def recompute(
    engine: sqlalchemy_asyncio.AsyncEngine, *, seconds: float, actor: str
) -> tuple[list[task.Changed], bool]:
    """Recomputes the next occurrences that another time zone database gave, for `seconds` at most.

    Returns those that moved or were withdrawn, and whether there are more schedules.
    """
    moved: list[task.Changed] = []
    unreadable: list[int] = []
    ends, after = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        with database.unavailable():
            async with database.transaction(engine) as connection:
                parameters = {"after": after, "zone_version": recurrence.version(), "limit": _RECOMPUTED_AT_ONCE}
                stale = (await connection.execute(_STALE, parameters)).all()
                moved += await _recompute(connection, stale, unreadable, actor)
        if len(stale) < _RECOMPUTED_AT_ONCE:
            break
        after = stale[-1].schedule_id
    with database.unavailable():
        async with engine.connect() as connection:
            parameters = {"zone_version": recurrence.version(), "unreadable": unreadable}
            has_more = await connection.scalar(_ANY_STALE, parameters)
    return moved, bool(has_more)


async def _recompute(
    connection: sqlalchemy_asyncio.AsyncConnection,
    stale: Sequence[sa.Row[tuple[object, ...]]],
    unreadable: list[int],
    actor: str,
) -> list[task.Changed]:
    moved: list[task.Changed] = []
    current = []
    for row in stale:
        try:
            async with connection.begin_nested():
                changed = await _replace(connection, row, actor)
        except errors.ScheduleUnreadable as error:
            _log.warning("a schedule is not recomputed", schedule_id=row.schedule_id, reason=str(error))
            unreadable.append(row.schedule_id)
            continue
        current.append(row.schedule_id)
        moved += changed
    await connection.execute(_IS_CURRENT, {"zone_version": recurrence.version(), "schedule_ids": current})
    return moved


async def _replace(
    connection: sqlalchemy_asyncio.AsyncConnection, row: sa.Row[tuple[object, ...]], actor: str
) -> Sequence[task.Changed]:
    """Returns the next occurrence of a schedule if it moved or was withdrawn."""
    found = columns.read_schedule(row)
    changed = await reconcile.apply(connection, found, found, row.now, actor=actor)
    if changed.next_time is None or changed.next_time == found.next_time:
        return changed.tasks
    entry = columns.entry(
        found.schedule_id,
        "recomputed",
        task_id=changed.tasks[0].task_id if changed.tasks else None,
        nominal_time=changed.next_time.isoformat(),
        reason=f"time zone database {recurrence.version()}",
    )
    await columns.log(connection, [entry], actor=actor)
    return changed.tasks
