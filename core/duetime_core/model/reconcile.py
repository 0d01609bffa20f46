"""Reconciling the next occurrence of a schedule with a change of the schedule, or of the time zone database.

Pure: `store.schedules.reconcile` applies it.
"""

import dataclasses
import datetime
from collections.abc import Collection

from duetime_core.model import advance, recurrence, schedule

_CHANGED = "the schedule was changed before it ran"
_MICROSECOND = datetime.timedelta(microseconds=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """The next occurrence before the change."""

    nominal: datetime.datetime
    is_refused: bool = False
    """Whether a caller cancelled or deleted its task."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reconciled:
    """The decision about the next occurrence."""

    stays: recurrence.Occurrence | None
    """The standing one, with its due time by the new rule, if its task stays the next one."""
    skips: list[recurrence.Skip]
    following: advance.First
    """If it does not stay: the occurrence that becomes the next one."""
    last_nominal: datetime.datetime
    """The last nominal time that was run or skipped."""
    is_given: bool = False
    """Whether the rule still gives the standing one, which is later than the one that becomes the next."""


def reconcile(
    before: schedule.Schedule,
    after: schedule.Schedule,
    standing: Standing | None,
    now: datetime.datetime,
    *,
    taken: Collection[datetime.datetime] = (),
    taken_until: datetime.datetime | None = None,
) -> Reconciled:
    """Decides which occurrence is the next one of the changed schedule; `taken` are as for `advance.first`."""
    is_changed = before.spec != after.spec
    last, begin, is_given = before.last_nominal_time, now, False
    skips: list[recurrence.Skip] = []
    if standing is not None and standing.nominal <= now:
        again = advance.given(after.spec, standing.nominal, after.seed)
        if again is not None:
            if is_changed:
                skips = _passed(before, standing, now, _CHANGED)
                last = max(last, now)
            return Reconciled(again, skips, advance.First([], None), last)
        skips = [_skip(standing, _CHANGED)]
        if is_changed:
            skips += _passed(before, standing, now, _CHANGED)
        else:
            begin = standing.nominal  # times between then and now are missed ones, and are advanced as such
    elif standing is None and not before.is_paused and before.advance_at is not None and not is_changed:
        begin = min(now, last)  # a search that was not finished
    found = advance.first(after.spec, begin, after.seed, taken=taken, taken_until=taken_until)
    if standing is not None and standing.nominal > now:
        again = advance.given(after.spec, standing.nominal, after.seed)
        is_first = found.continues_after is not None or found.next == again
        if again is not None and is_first:
            return Reconciled(again, [], advance.First([], None), last)
        is_given = again is not None
        if standing.is_refused or not is_given:
            skips = [_skip(standing, _CHANGED)]
    logged = found.skips
    if standing is not None and not is_changed:
        logged = [skip for skip in logged if skip.nominal > standing.nominal]  # the others are logged already
    if last > now and found.next is not None and found.next.nominal <= last:
        last = now  # it was set by a clock that was ahead
    return Reconciled(None, [*skips, *logged], found, last, is_given)


def withdraw(
    before: schedule.Schedule, standing: Standing | None, now: datetime.datetime, reason: str
) -> list[recurrence.Skip]:
    """Returns what has to be logged as skipped if the next occurrence is withdrawn: all that has passed."""
    if standing is None or (standing.nominal > now and not standing.is_refused):
        return []
    skips = [_skip(standing, reason)]
    return skips if standing.nominal > now else [*skips, *_passed(before, standing, now, reason)]


def _skip(standing: Standing, reason: str) -> recurrence.Skip:
    return recurrence.Skip(standing.nominal, standing.nominal, advance.REFUSED if standing.is_refused else reason)


def _passed(
    before: schedule.Schedule, standing: Standing, now: datetime.datetime, reason: str
) -> list[recurrence.Skip]:
    """Returns the times of the old rule between the standing one and now that are not decided yet."""
    since = max(standing.nominal, before.last_nominal_time) if before.is_waiting else standing.nominal
    try:
        return advance.together(advance.passed(before, since, now + _MICROSECOND, reason))
    except recurrence.UnknownZoneError:  # the change may be what repairs it
        return []
