"""Recomputing schedules: moving their next occurrences when the time zone database changes."""

import dataclasses
import time
from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, recurrence, task
from duetime_core.postgres import database, namespaced
from duetime_core.process import patience
from duetime_core.store.schedules import columns, next_locks, reconcile

_RECOMPUTED_AT_ONCE = 100

_STALE = namespaced.text(f"""
SELECT {columns.COLUMNS}, now() AS now, (
    SELECT nominal_time FROM waiting JOIN tasks USING (task_id)
    WHERE waiting.schedule_id = schedules.schedule_id AND waiting.namespace_id = :namespace_id
        AND tasks.namespace_id = :namespace_id AND is_next
) AS next_time
FROM schedules
WHERE namespace_id = :namespace_id AND schedule_id > :after AND zone_version <> :zone_version AND NOT is_paused
    AND deleted_at IS NULL
ORDER BY schedule_id LIMIT :limit
FOR UPDATE SKIP LOCKED
""")
_IS_CURRENT = namespaced.text("""
UPDATE schedules SET zone_version = :zone_version
WHERE schedule_id = ANY(CAST(:schedule_ids AS bigint[])) AND namespace_id = :namespace_id
""")
_ANY_STALE = namespaced.text("""
SELECT EXISTS (
    SELECT FROM schedules WHERE namespace_id = :namespace_id AND schedule_id > 0 AND zone_version <> :zone_version
        AND NOT is_paused AND deleted_at IS NULL AND schedule_id <> ALL(CAST(:unreadable AS bigint[]))
)
""")

_log = structlog.get_logger()


async def recompute(
    engine: sqlalchemy_asyncio.AsyncEngine, *, seconds: float, actor: str
) -> tuple[list[task.Changed], bool]:
    """Recomputes the next occurrences that another time zone database gave, for `seconds` at most.

    Schedules that another session has locked, or whose next task it has, are passed over and looked at again. Returns
    the tasks that moved or were withdrawn, and whether there are more schedules.
    """
    run = _Run(actor)
    ends = time.monotonic() + seconds
    waiting = patience.Patience(ends)
    while True:
        before = run.count
        await _pass(engine, run, ends)
        with database.unavailable():
            async with engine.connect() as connection:
                parameters = {"zone_version": recurrence.version(), "unreadable": list(run.unreadable)}
                has_more = bool(await connection.scalar(_ANY_STALE, parameters))
        if not has_more or not await waiting.wait(has_progress=run.count > before):
            return run.moved, has_more


@dataclasses.dataclass(slots=True)
class _Run:
    """What a call has done."""

    actor: str
    count: int = 0
    """How many schedules it has recomputed."""
    moved: list[task.Changed] = dataclasses.field(default_factory=list)
    unreadable: set[int] = dataclasses.field(default_factory=set)


async def _pass(engine: sqlalchemy_asyncio.AsyncEngine, run: _Run, ends: float) -> None:
    """Recomputes all schedules that it can lock, or those of one batch if the time is over."""
    after: int | None = 0
    while after is not None:
        with database.unavailable():
            async with database.transaction(engine) as connection:
                parameters = {"after": after, "zone_version": recurrence.version(), "limit": _RECOMPUTED_AT_ONCE}
                stale = (await connection.execute(_STALE, parameters)).all()
                await _recompute(connection, stale, run)
        is_last = len(stale) < _RECOMPUTED_AT_ONCE or time.monotonic() >= ends
        after = None if is_last else stale[-1].schedule_id


async def _recompute(
    connection: sqlalchemy_asyncio.AsyncConnection, stale: Sequence[sa.Row[tuple[object, ...]]], run: _Run
) -> None:
    upcoming = await connection.execute(next_locks.LOCK, next_locks.of_rows(stale))
    locked_by_others = {each.schedule_id for each in upcoming if each.has_next and each.task_id is None}
    moved: list[task.Changed] = []
    current = []
    for row in stale:
        if row.schedule_id in locked_by_others or row.schedule_id in run.unreadable:
            continue
        try:
            async with connection.begin_nested():
                moved += await _replace(connection, row, run.actor)
        except errors.ScheduleUnreadable as error:
            _log.warning("a schedule is not recomputed", schedule_id=row.schedule_id, reason=str(error))
            run.unreadable.add(row.schedule_id)
            continue
        current.append(row.schedule_id)
    await connection.execute(_IS_CURRENT, {"zone_version": recurrence.version(), "schedule_ids": current})
    run.moved, run.count = [*run.moved, *moved], run.count + len(current)


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
