"""Runs of schedules beside their rule: triggered now, or made up for; and moving all when time zones change."""

import datetime
import itertools
import time
from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import computing, database, errors, recurrence, schedule
from duetime_core.store import occurrences, request_ids, schedule_rows

MAX_BACKFILL = 1_000
"""How many occurrences one backfill makes at most."""
_RECOMPUTED_AT_ONCE = 100

_GET = sa.text(f"""
SELECT {schedule_rows.COLUMNS}, NULL, NULL FROM schedules WHERE schedule_id = :id AND deleted_at IS NULL FOR UPDATE
""")
_STALE = sa.text(f"""
SELECT {schedule_rows.COLUMNS}, NULL, NULL, now() AS now,
    (SELECT nominal_time FROM tasks WHERE tasks.schedule_id = schedules.schedule_id AND status = 'pending' AND is_next)
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
_LIST_LOGS = sa.text(f"""
SELECT {schedule_rows.LOG_COLUMNS} FROM schedule_logs
WHERE schedule_id = :schedule_id AND log_id > :after ORDER BY log_id LIMIT :limit
""")
_REQUESTED = sa.text("SELECT task_id, schedule_id, status, deleted_at FROM tasks WHERE request_id = :request_id")


_log = structlog.get_logger()


class TooManyOccurrencesError(ValueError):
    """The interval has more occurrences than one backfill makes: MAX_BACKFILL."""


async def trigger(
    engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int, *, request_id: str | None, actor: str
) -> occurrences.Placed | int:
    """Makes a task of the schedule that is due now, and returns it; the task_id, if its request_id made it before.

    Raises ScheduleNotFound or RequestIdTaken.
    """

    async def trigger_in(connection: sqlalchemy_asyncio.AsyncConnection) -> occurrences.Placed | int:
        triggered = await _get(connection, schedule_id)
        while True:
            if request_id is not None:
                task_id = await _requested(connection, request_id, schedule_id)
                if task_id is not None:
                    return task_id
            encoded = [occurrences.encode(triggered, None, is_next=False, request_id=request_id)]
            inserted = await occurrences.insert(connection, encoded, actor=actor)
            if inserted:
                break
            # A CreateTask took the request_id meanwhile, and has committed: it is found now.
        (placed,) = inserted
        entry = schedule_rows.entry(
            schedule_id, "triggered", task_id=placed.task_id, nominal_time=placed.nominal_time.isoformat()
        )
        await schedule_rows.log(connection, [entry], actor=actor)
        return placed

    with database.unavailable():
        return await database.to_the_end(engine, trigger_in)


async def _requested(connection: sqlalchemy_asyncio.AsyncConnection, request_id: str, schedule_id: int) -> int | None:
    """Returns the task that the request_id made of that schedule before. Raises RequestIdTaken."""
    found = (await connection.execute(_REQUESTED, {"request_id": request_id})).one_or_none()
    if found is None:
        return None
    refusal = request_ids.refusal(
        request_id,
        found.task_id,
        is_same=found.schedule_id == schedule_id,
        status=found.status,
        deleted_at=found.deleted_at,
    )
    if refusal is not None:
        raise refusal
    return int(found.task_id)


async def backfill(
    engine: sqlalchemy_asyncio.AsyncEngine,
    schedule_id: int,
    *,
    start_time: datetime.datetime,
    end_time: datetime.datetime,
    actor: str,
) -> list[occurrences.Placed]:
    """Makes a task that is due now for each nominal time from `start_time` to `end_time` that has none.

    `end_time` is past. Raises ScheduleNotFound, ScheduleUnreadable, or TooManyOccurrencesError or TooManyStepsError
    before anything is made.
    """

    async def backfill_in(connection: sqlalchemy_asyncio.AsyncConnection) -> list[occurrences.Placed]:
        filled = await _get(connection, schedule_id)
        found = await computing.apart(_between, filled, start_time, end_time)
        encoded = [occurrences.encode(filled, each, is_next=False, is_late=True) for each in found]
        placed = await occurrences.insert(connection, encoded, actor=actor)
        if placed:
            entry = schedule_rows.entry(
                schedule_id,
                "backfilled",
                nominal_time=placed[0].nominal_time.isoformat(),
                until=placed[-1].nominal_time.isoformat(),
            )
            await schedule_rows.log(connection, [entry], actor=actor)
        return placed

    with database.unavailable():
        return await database.to_the_end(engine, backfill_in)


def _between(
    filled: schedule.Schedule, start_time: datetime.datetime, end_time: datetime.datetime
) -> list[recurrence.Occurrence]:
    after = recurrence.just_before(start_time)
    try:
        occurring = recurrence.occurrences(filled.spec, after, seed=filled.seed)
        within = itertools.takewhile(lambda each: each.nominal <= end_time, occurring)
        found = list(itertools.islice(within, MAX_BACKFILL + 1))
    except recurrence.UnknownZoneError as error:
        raise errors.ScheduleUnreadable.of(filled.schedule_id, error) from error
    if len(found) > MAX_BACKFILL:
        raise TooManyOccurrencesError
    return found


async def recompute(
    engine: sqlalchemy_asyncio.AsyncEngine, *, seconds: float, actor: str
) -> tuple[list[occurrences.Placed], bool]:
    """Places the next occurrence of each schedule that another time zone database gave: for that long at most.

    Returns those that moved, and whether there are more schedules to look at.
    """
    moved: list[occurrences.Placed] = []
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
) -> list[occurrences.Placed]:
    moved, current = [], []
    for row in stale:
        try:
            async with connection.begin_nested():
                placed = await _replace(connection, row, actor)
        except errors.ScheduleUnreadable as error:
            _log.warning("a schedule is not recomputed", schedule_id=row.schedule_id, reason=str(error))
            unreadable.append(row.schedule_id)
            continue
        current.append(row.schedule_id)
        moved += [placed] if placed is not None else []
    await connection.execute(_IS_CURRENT, {"zone_version": recurrence.version(), "schedule_ids": current})
    return moved


async def _replace(
    connection: sqlalchemy_asyncio.AsyncConnection, row: sa.Row[tuple[object, ...]], actor: str
) -> occurrences.Placed | None:
    """Returns the next occurrence of a schedule if it moved."""
    found = schedule_rows.read_schedule(row)
    placed = await occurrences.place_next(connection, found, max(row.now, found.last_nominal_time), actor=actor)
    if placed is None or placed.nominal_time == row[-1]:
        return None
    entry = schedule_rows.entry(
        found.schedule_id,
        "recomputed",
        task_id=placed.task_id,
        nominal_time=placed.nominal_time.isoformat(),
        reason=f"time zone database {recurrence.version()}",
    )
    await schedule_rows.log(connection, [entry], actor=actor)
    return placed


async def list_logs(
    engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int, *, after: int, limit: int
) -> list[schedule.ScheduleLog]:
    """Returns up to `limit` lines of the schedule's log with a log_id above `after`, oldest first; a deleted one's too.

    Raises ScheduleNotFound if there never was such a schedule.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            parameters = {"schedule_id": schedule_id, "after": after, "limit": limit}
            logs = [schedule.ScheduleLog(*row) for row in await connection.execute(_LIST_LOGS, parameters)]
            if not logs and not after:
                raise errors.ScheduleNotFound.of(schedule_id)
            return logs


async def _get(connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int) -> schedule.Schedule:
    row = (await connection.execute(_GET, {"id": schedule_id})).one_or_none()
    if row is None:
        raise errors.ScheduleNotFound.of(schedule_id)
    return schedule_rows.read_schedule(row)
