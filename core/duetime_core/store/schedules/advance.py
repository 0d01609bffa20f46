"""Advancing schedules that are due, in turns: each is one transaction, over schedules that nobody else has locked.

A turn finds the schedules of all namespaces, and then writes what each namespace's schedules create within that one.

The next occurrence becomes an ordinary task or is skipped, and the one after it is created. All that is one commit, so
that neither a crash nor a second worker can separate it. A schedule that cannot be advanced is set aside.
"""

import dataclasses
import datetime
import time
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import advance, errors, namespace, recurrence, schedule, task
from duetime_core.postgres import database, namespaced
from duetime_core.process import threads
from duetime_core.store.schedules import clock, columns, next_locks, next_task, occurrences, reconcile, set_aside

MOST = 200
"""How many schedules one turn advances."""
_PLANNING_SECONDS = 0.1
"""How long one turn plans: with costly rules, it advances fewer schedules."""

_log = structlog.get_logger()
# Entries of what advanced before stay in the index while a transaction anywhere keeps an old snapshot: see `floors`.
_FLOOR = """coalesce((
        SELECT advance_floor.advance_at FROM advance_floor WHERE is_only AND advance_floor.advance_at <= now()
    ), '-infinity')"""


def _lock_due(order: str) -> sa.TextClause:
    return sa.text(f"""
    SELECT {columns.COLUMNS}, deleted_at IS NOT NULL AS is_deleted, now() AS now, namespace_id FROM schedules
    WHERE advance_at <= now() AND advance_at >= {_FLOOR}
    ORDER BY advance_at {order}, schedule_id {order} LIMIT :limit
    FOR UPDATE SKIP LOCKED
    """)


_LOCK_OLDEST, _LOCK_NEWEST = _lock_due("ASC"), _lock_due("DESC")
_LOCK_GIVEN = sa.text(f"""
SELECT {columns.COLUMNS}, deleted_at IS NOT NULL AS is_deleted, now() AS now, namespace_id FROM schedules
WHERE schedule_id = ANY(CAST(:schedule_ids AS bigint[])) ORDER BY schedule_id
FOR UPDATE SKIP LOCKED
""")
# Those whose next task another session has locked do not use up the limit of the turns that follow.
_PASS_OVER = namespaced.text("""
UPDATE schedules SET advance_at = now() + interval '1 second'
WHERE schedule_id = ANY(CAST(:schedule_ids AS bigint[])) AND namespace_id = :namespace_id
""")
_NEXT_AT = sa.text("""
SELECT (SELECT advance_at FROM schedules WHERE advance_at > now() ORDER BY advance_at LIMIT 1), now()
""")


@dataclasses.dataclass(slots=True)
class Turn:
    """What a turn did."""

    count: int = 0
    """How many schedules it advanced or set aside."""
    tasks: list[task.Changed] = dataclasses.field(default_factory=list)
    """The tasks that it released, skipped, created or withdrew."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Planned:
    """A locked schedule, its next task and the decision about it; `task_id` is None if it has none."""

    made: schedule.Schedule
    task_id: int | None
    this: advance.Due | None
    decided: advance.Advance | None


_Failures = list[tuple[int, Exception]]


async def turn(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    actor: str,
    schedule_ids: Sequence[int] | None = None,
    newest_first: bool = False,
    limit: int = MOST,
) -> Turn:
    """Advances up to `limit` schedules of any namespace that are due, or those given, and returns what changed."""
    parameters: dict[str, Any]
    if schedule_ids is not None:
        statement, parameters = _LOCK_GIVEN, {"schedule_ids": list(schedule_ids)[:limit]}
    else:
        statement, parameters = _LOCK_NEWEST if newest_first else _LOCK_OLDEST, {"limit": limit}
    with database.unavailable():
        async with database.transaction(engine) as connection:
            rows = (await connection.execute(statement, parameters)).all()
            done = Turn()
            for namespace_id, of_one in _by_namespace(rows):
                with namespace.use(namespace_id):
                    advanced = await _advance_all(connection, of_one, actor)
                done = Turn(done.count + advanced.count, [*done.tasks, *advanced.tasks])
            return done


def _by_namespace(rows: Sequence[sa.Row[Any]]) -> Iterator[tuple[int, list[sa.Row[Any]]]]:
    """Yields each namespace with its rows, in order."""
    for namespace_id in dict.fromkeys(row.namespace_id for row in rows):
        yield namespace_id, [row for row in rows if row.namespace_id == namespace_id]


async def next_at(engine: sqlalchemy_asyncio.AsyncEngine) -> tuple[datetime.datetime | None, datetime.datetime]:
    """Returns when the next schedule has to be advanced, and the time, by the database's clock."""
    with database.unavailable():
        async with engine.connect() as connection:
            upcoming, now = (await connection.execute(_NEXT_AT)).one()
            return upcoming, now


async def _advance_all(connection: sqlalchemy_asyncio.AsyncConnection, rows: Sequence[sa.Row[Any]], actor: str) -> Turn:
    now: datetime.datetime = rows[0].now
    await clock.stop(connection, [row.schedule_id for row in rows if row.is_paused or row.is_deleted])
    rows = [row for row in rows if not (row.is_paused or row.is_deleted)]
    locked = await connection.execute(next_locks.LOCK, next_locks.of_rows(rows))
    upcoming = {row.schedule_id: row for row in locked}
    passed_over = [each.schedule_id for each in upcoming.values() if each.has_next and each.task_id is None]
    if passed_over:
        await connection.execute(_PASS_OVER, {"schedule_ids": passed_over})
    rows = [row for row in rows if row.schedule_id not in passed_over]
    planned, failures = await threads.run(_plan_all, rows, upcoming, now)
    done = Turn(count=len(failures))
    if planned:
        try:
            async with connection.begin_nested():
                done.tasks = await _write(connection, planned, now, actor)
            done.count += len(planned)
        except Exception as error:
            set_aside.require_connection(error)
            for each in planned:
                await _write_one(connection, each, now, actor, done, failures)
    for schedule_id, failure in failures:
        await set_aside.set_aside(connection, schedule_id, failure)
    return done


def _plan_all(
    rows: Sequence[sa.Row[Any]], upcoming: dict[int, sa.Row[Any]], now: datetime.datetime
) -> tuple[list[_Planned], _Failures]:
    planned: list[_Planned] = []
    failures: _Failures = []
    ends = time.monotonic() + _PLANNING_SECONDS
    for row in rows:
        if (planned or failures) and time.monotonic() > ends:
            break  # the next turn begins with the others
        try:
            planned.append(_plan(columns.read_schedule(row), upcoming[row.schedule_id], now))
        except recurrence.UnknownZoneError as error:
            failures.append((row.schedule_id, errors.ScheduleUnreadable.of(row.schedule_id, error)))
        except Exception as error:  # whatever one schedule's data does, the others advance
            failures.append((row.schedule_id, error))
    return planned, failures


def _plan(made: schedule.Schedule, upcoming: sa.Row[Any], now: datetime.datetime) -> _Planned:
    if upcoming.task_id is None:
        return _Planned(made, None, None, None)
    due = made.next_due_at if made.next_nominal_time == upcoming.nominal_time else None
    if due is None:  # an earlier release placed it
        found = advance.given(made.spec, upcoming.nominal_time, made.seed)
        due = upcoming.execution_time if found is None else found.due
    this = advance.Due(
        upcoming.nominal_time,
        due,
        upcoming.execution_time,
        is_refused=upcoming.is_refused,
        is_overlapped=upcoming.is_overlapped,
        is_waiting=made.is_waiting,
    )
    decided = advance.plan(made, this, now)
    if upcoming.is_retried:  # then its nominal time is not skipped
        decided = dataclasses.replace(decided, skips=[skip for skip in decided.skips if skip.reason != advance.REFUSED])
    return _Planned(made, upcoming.task_id, this, decided)


async def _write(
    connection: sqlalchemy_asyncio.AsyncConnection, planned: Sequence[_Planned], now: datetime.datetime, actor: str
) -> list[task.Changed]:
    """Writes the decisions in a few statements, and returns the changed tasks."""
    released: list[int] = []
    skipped: list[dict[str, Any]] = []
    entries: list[columns.Entry] = []
    clocks: list[dict[str, Any]] = []
    following: list[tuple[_Planned, recurrence.Occurrence]] = []
    without = [each for each in planned if each.decided is None]
    for each in planned:
        made, this, decided = each.made, each.this, each.decided
        if this is None or decided is None:
            continue
        entries += [columns.skipped(made.schedule_id, skip) for skip in decided.skips]
        if decided.verdict in (advance.Verdict.LATER, advance.Verdict.WAITS):
            clocks.append(_standing(made, this, decided))
            continue
        if decided.verdict is advance.Verdict.RUNS or this.is_refused:
            released.append(each.task_id or 0)
        else:
            skipped.append({"task_id": each.task_id, "reason": decided.reason})
        if decided.next is not None:
            following.append((each, decided.next))
        else:
            clocks.append(clock.entry(made.schedule_id, None, last_nominal=decided.last_nominal, advance_at=None))
    changed = await next_task.release(connection, released)
    changed += await next_task.skip(connection, skipped, actor=actor)
    encoded = [occurrences.encode(each.made, occurrence, is_next=True) for each, occurrence in following]
    placed = await occurrences.insert(connection, encoded, actor=actor)
    present = {each.schedule_id for each in placed}
    for each, occurrence in following:
        if each.made.schedule_id in present:
            assert each.decided is not None
            last = each.decided.last_nominal
            clocks.append(clock.entry(each.made.schedule_id, occurrence, last_nominal=last, advance_at=occurrence.due))
    await clock.write(connection, clocks)
    await columns.log(connection, entries, actor=actor)
    changed += placed
    # A nominal time that already has a task, by a backfill or a trigger, is done: a free one after it is next.
    for each, occurrence in following:
        if each.made.schedule_id not in present:
            assert each.decided is not None
            made = dataclasses.replace(each.made, last_nominal_time=each.decided.last_nominal)
            changed += (await reconcile.follow(connection, made, occurrence.nominal, now, actor=actor)).tasks
    for each in without:
        last = each.made.last_nominal_time
        changed += (await reconcile.follow(connection, each.made, last, now, actor=actor)).tasks
    return changed


def _standing(made: schedule.Schedule, this: advance.Due, decided: advance.Advance) -> dict[str, Any]:
    """Returns the clock of a schedule whose next occurrence stays the next one."""
    waits = decided.verdict is advance.Verdict.WAITS
    advance_at: datetime.datetime | None = this.due
    if waits:
        advance_at = None if decided.next is None else decided.next.due
    return clock.entry(
        made.schedule_id,
        recurrence.Occurrence(this.nominal, this.due),
        last_nominal=decided.last_nominal,
        advance_at=advance_at,
        is_waiting=waits,
        is_current=False,
    )


async def _write_one(
    connection: sqlalchemy_asyncio.AsyncConnection,
    planned: _Planned,
    now: datetime.datetime,
    actor: str,
    done: Turn,
    failures: _Failures,
) -> None:
    try:
        async with connection.begin_nested():
            done.tasks += await _write(connection, [planned], now, actor)
        done.count += 1
    except Exception as error:
        set_aside.require_connection(error)
        failures.append((planned.made.schedule_id, error))
        done.count += 1
