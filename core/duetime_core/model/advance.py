"""Advancing a schedule: whether its due occurrence runs, what is skipped, and which occurrence comes next.

Pure: `store.schedules.advance` applies it, in the transaction that claims.
"""

import contextlib
import dataclasses
import datetime
import itertools
from collections.abc import Iterator

from duetime_core.model import recurrence, schedule

ON_TIME = datetime.timedelta(minutes=1)
"""An occurrence that is later than this was missed."""
_MOST_SINGLY = 100
"""How many occurrences skipped at once are logged one by one."""
_MICROSECOND = datetime.timedelta(microseconds=1)

_CANCELLED = "a caller cancelled its task"
_OVERLAP = "an earlier run had not ended, and overlap is skip"
_WAITED = "another occurrence was already waiting for an earlier run, and overlap is queue"
_CATCH_UP = {
    schedule.CatchUp.LAST: "it was missed, a later one was due as well, and catch_up is last",
    schedule.CatchUp.NONE: "it was more than a minute late, and catch_up is none",
}
_WINDOW = "it was later than catch_up_window"
_GIVEN_UP = "the search found no later occurrence within its step limit: change the rule or its blackouts"


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """An occurrence of a schedule that is due."""

    nominal: datetime.datetime
    due: datetime.datetime
    is_cancelled: bool = False
    """Whether a caller cancelled its task."""
    is_overlapped: bool = False
    """Whether an earlier run has not ended."""
    has_waited: bool = False
    """Whether it is late because an earlier run had not ended."""


@dataclasses.dataclass(frozen=True, slots=True)
class Advance:
    """The decision about a due occurrence. It runs unless `reason` is set."""

    reason: str | None
    skips: list[recurrence.Skip]
    """All skipped occurrences, possibly this one; `until` is the last of several."""
    next: recurrence.Occurrence | None
    last_nominal: datetime.datetime
    """The last nominal time that was run or skipped."""


def plan(advanced: schedule.Schedule, this: Due, now: datetime.datetime) -> Advance:
    """Decides about a due occurrence."""
    steps = recurrence.Steps()
    try:
        reason, since = _decide(advanced, this, now, steps)
    except recurrence.TooManyStepsError:
        # It runs, and `first` finds no occurrence after it.
        reason, since = None, None
    runs = reason is None or reason is _WAITED
    skips = [] if runs else [recurrence.Skip(this.nominal, this.nominal, str(reason))]
    last_nominal = this.nominal
    if reason is not None and since is not None:
        passed = _passed(advanced, this.nominal, since, reason)
        skips = _together([*skips, *passed])
        last_nominal = max(last_nominal, since - _MICROSECOND) if passed else last_nominal
    more, following = first(advanced.spec, last_nominal, advanced.seed)
    return Advance(None if runs else reason, [*skips, *more], following, last_nominal)


def first(
    spec: recurrence.Spec, after: datetime.datetime, seed: str
) -> tuple[list[recurrence.Skip], recurrence.Occurrence | None]:
    """Returns the first occurrence after that moment, and the skips before it.

    A search that reaches its step limit returns no occurrence, and a skip with that reason.
    """
    skips: list[recurrence.Skip] = []
    try:
        for event in recurrence.events(spec, after, seed=seed):
            if isinstance(event, recurrence.Occurrence):
                return skips, event
            skips.append(event)
    except recurrence.TooManyStepsError:
        last = skips[-1].until if skips else after
        return [*_together(skips), recurrence.Skip(last, last, _GIVEN_UP)], None
    return skips, None


def _decide(
    advanced: schedule.Schedule, this: Due, now: datetime.datetime, steps: recurrence.Steps
) -> tuple[str | None, datetime.datetime | None]:
    """Returns why this occurrence, or later ones, are skipped, and the moment at which skipping ends."""
    if this.is_cancelled:
        return _CANCELLED, None
    if this.is_overlapped and advanced.overlap is schedule.Overlap.SKIP:
        return _OVERLAP, now
    if this.has_waited and advanced.overlap is schedule.Overlap.QUEUE:
        return _WAITED, now
    if now - this.due <= ON_TIME:
        return None, None
    on_time = now - ON_TIME
    window = advanced.catch_up_window
    match advanced.catch_up:
        case schedule.CatchUp.NONE:
            return _CATCH_UP[advanced.catch_up], on_time
        case schedule.CatchUp.LAST:
            since = max(this.nominal, on_time - _MICROSECOND)
            later = next(recurrence.occurrences(advanced.spec, since, seed=advanced.seed, steps=steps), None)
            if later is None or later.due > now:
                later = recurrence.last_between(advanced.spec, this.nominal, on_time, seed=advanced.seed, steps=steps)
            if later is not None:
                return _CATCH_UP[advanced.catch_up], later.nominal
    if window is not None and now - this.due > window:
        return _WINDOW, max(this.nominal, now - window)
    return None, None


def _passed(
    advanced: schedule.Schedule, after: datetime.datetime, until: datetime.datetime, reason: str
) -> list[recurrence.Skip]:
    """Returns the occurrences between two moments, both exclusive, as skipped for that reason, and all other skips.

    If there are more than are logged one by one, the result has the last one, but not all before it.
    """
    passed = list(itertools.islice(_skipped(advanced, after, until, reason), _MOST_SINGLY + 1))
    if len(passed) > _MOST_SINGLY:
        after = passed[-1].nominal
        with contextlib.suppress(recurrence.TooManyStepsError):
            last = recurrence.last_between(advanced.spec, after, until - _MICROSECOND, seed=advanced.seed)
            if last is not None:
                after = last.nominal
                passed.append(recurrence.Skip(after, after, reason))
        passed += _skipped(advanced, after, until, reason)
    return passed


def _skipped(
    advanced: schedule.Schedule, after: datetime.datetime, until: datetime.datetime, reason: str
) -> Iterator[recurrence.Skip]:
    with contextlib.suppress(recurrence.TooManyStepsError):
        for event in recurrence.events(advanced.spec, after, seed=advanced.seed):
            if event.nominal >= until:
                return
            if isinstance(event, recurrence.Occurrence):
                yield recurrence.Skip(event.nominal, event.nominal, reason)
            else:
                yield dataclasses.replace(event, until=min(event.until, until - _MICROSECOND))


def _together(skips: list[recurrence.Skip]) -> list[recurrence.Skip]:
    """Merges many skips into one, from the first to the last, with all their reasons."""
    if len(skips) <= _MOST_SINGLY:
        return skips
    reasons = dict.fromkeys(skip.reason for skip in skips)
    return [recurrence.Skip(skips[0].nominal, skips[-1].until, ", or ".join(reasons))]
