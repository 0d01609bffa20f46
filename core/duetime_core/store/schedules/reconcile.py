"""Reconciling a schedule's next occurrence with a change; see `model.reconcile`. The caller has locked the schedule."""

import contextlib
import dataclasses
import datetime
from collections.abc import Sequence

import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import advance, errors, reconcile, recurrence, schedule, task
from duetime_core.store.schedules import clock, columns, next_task, occurrences

ENDED = "The schedule has no later occurrence."

_log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class Reconciled:
    """The task that was created, moved or withdrawn, if any, and the nominal time of the next occurrence."""

    tasks: Sequence[task.Changed]
    next_time: datetime.datetime | None


async def apply(
    connection: sqlalchemy_asyncio.AsyncConnection,
    before: schedule.Schedule,
    after: schedule.Schedule,
    now: datetime.datetime,
    *,
    actor: str,
) -> Reconciled:
    """Makes the next occurrence that of the changed schedule, which is not paused, and logs what that skips.

    Raises ScheduleUnreadable, such as for a zone that no longer exists.
    """
    if before.last_nominal_time > now:
        _log.warning(
            "a schedule is ahead of the database's clock",
            schedule_id=after.schedule_id,
            last_nominal_time=before.last_nominal_time.isoformat(),
        )
    present = await next_task.lock(connection, after.schedule_id)
    standing = None if present is None else reconcile.Standing(present.nominal_time, present.is_refused)
    begin = min(now, before.last_nominal_time)
    taken, taken_until = await occurrences.taken(connection, after.schedule_id, begin)
    try:
        decided = reconcile.reconcile(before, after, standing, now, taken=taken, taken_until=taken_until)
    except ValueError as error:
        raise errors.ScheduleUnreadable.of(after.schedule_id, error) from error
    skips = [columns.skipped(after.schedule_id, skip) for skip in _of(present, decided.skips)]
    await columns.log(connection, skips, actor=actor, at=now)
    if decided.stays is not None:
        assert present is not None
        return await _keep(connection, before, after, present, decided, now, actor)
    if decided.is_given and present is not None:
        await next_task.detach_edited(connection, before, _was_due(before, present))
    return await _follow(connection, after, decided, now, actor, has_next=present is not None)


async def withdraw(
    connection: sqlalchemy_asyncio.AsyncConnection,
    before: schedule.Schedule,
    now: datetime.datetime,
    *,
    reason: str,
    error_message: str,
    actor: str,
) -> list[task.Changed]:
    """Withdraws the next occurrence, stops the schedule's clock, and logs as skipped what has passed."""
    present = await next_task.lock(connection, before.schedule_id)
    standing = None if present is None else reconcile.Standing(present.nominal_time, present.is_refused)
    try:
        skips = reconcile.withdraw(before, standing, now, reason)
    except ValueError as error:  # such as a zone that no longer exists
        _log.warning("what a schedule skips is not logged", schedule_id=before.schedule_id, reason=str(error))
        skips = []
    logged = [columns.skipped(before.schedule_id, skip) for skip in _of(present, skips)]
    await columns.log(connection, logged, actor=actor, at=now)
    await clock.stop(connection, [before.schedule_id])
    return await next_task.withdraw(connection, before.schedule_id, reason=error_message, actor=actor)


async def follow(
    connection: sqlalchemy_asyncio.AsyncConnection,
    made: schedule.Schedule,
    after: datetime.datetime,
    now: datetime.datetime,
    *,
    actor: str,
) -> Reconciled:
    """Creates the task of the first free occurrence after that moment, of a schedule without a next occurrence."""
    taken, taken_until = await occurrences.taken(connection, made.schedule_id, after)
    try:
        found = advance.first(made.spec, after, made.seed, taken=taken, taken_until=taken_until)
    except ValueError as error:
        raise errors.ScheduleUnreadable.of(made.schedule_id, error) from error
    await columns.log(connection, [columns.skipped(made.schedule_id, skip) for skip in found.skips], actor=actor)
    decided = reconcile.Reconciled(None, [], found, made.last_nominal_time)
    return await _follow(connection, made, decided, now, actor, has_next=False)


async def _keep(
    connection: sqlalchemy_asyncio.AsyncConnection,
    before: schedule.Schedule,
    after: schedule.Schedule,
    present: next_task.NextTask,
    decided: reconcile.Reconciled,
    now: datetime.datetime,
    actor: str,
) -> Reconciled:
    stays = decided.stays
    assert stays is not None
    changed: Sequence[task.Changed] = ()
    if not present.is_refused:
        was_due = _was_due(before, present)
        changed = await next_task.merge(connection, before, was_due, after, stays.due, actor=actor)
    is_waiting = before.is_waiting
    written = clock.entry(
        after.schedule_id,
        stays,
        last_nominal=decided.last_nominal,
        # One that waits is looked at again: the change may let it run.
        advance_at=now if is_waiting else stays.due,
        is_waiting=is_waiting,
    )
    await clock.write(connection, [written])
    return Reconciled(changed, stays.nominal)


def _of(present: next_task.NextTask | None, skips: Sequence[recurrence.Skip]) -> list[recurrence.Skip]:
    """Returns those skips to log: not that of a refused next task which a caller retried."""
    is_retried = present is not None and present.is_retried
    return [skip for skip in skips if not (is_retried and skip.reason == advance.REFUSED)]


def _was_due(before: schedule.Schedule, present: next_task.NextTask) -> datetime.datetime:
    """Returns when the next occurrence was due by the rule."""
    if before.next_nominal_time == present.nominal_time and before.next_due_at is not None:
        return before.next_due_at
    # An earlier release placed it.
    with contextlib.suppress(recurrence.UnknownZoneError):
        old = advance.given(before.spec, present.nominal_time, before.seed)
        if old is not None:
            return old.due
    return present.execution_time


async def _follow(
    connection: sqlalchemy_asyncio.AsyncConnection,
    made: schedule.Schedule,
    decided: reconcile.Reconciled,
    now: datetime.datetime,
    actor: str,
    *,
    has_next: bool,
) -> Reconciled:
    upcoming, continues_after = decided.following.next, decided.following.continues_after
    changed: Sequence[task.Changed] = ()
    if upcoming is None:
        if has_next:
            changed = await next_task.withdraw(connection, made.schedule_id, reason=ENDED, actor=actor)
    else:
        if has_next:
            changed = await next_task.move(connection, made, upcoming, actor=actor)
        if not changed:
            encoded = [occurrences.encode(made, upcoming, is_next=True)]
            changed = await occurrences.insert(connection, encoded, actor=actor)
        if not changed:  # an earlier release took the nominal time meanwhile
            upcoming, continues_after = None, decided.last_nominal
    last = decided.last_nominal if continues_after is None else continues_after
    # Without a task, the next advance continues the search.
    advance_at = upcoming.due if upcoming is not None else None if continues_after is None else now
    written = clock.entry(made.schedule_id, upcoming, last_nominal=last, advance_at=advance_at)
    await clock.write(connection, [written])
    return Reconciled(changed, None if upcoming is None else upcoming.nominal)
