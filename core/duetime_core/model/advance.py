"""Advancing a schedule: whether its due occurrence runs, what is skipped, and which occurrence comes next.

Pure: `store.schedules.advance` applies it.
"""

import contextlib
import dataclasses
import datetime
import enum
import itertools
from collections.abc import Collection, Iterator

from duetime_core.model import recurrence, schedule

ON_TIME = datetime.timedelta(minutes=1)
"""An occurrence that is later than this was missed."""
_MOST_SINGLY = 100
"""How many occurrences skipped at once are logged one by one."""
_MICROSECOND = datetime.timedelta(microseconds=1)

REFUSED = "a caller cancelled its task"
_OVERLAP = "an earlier run had not ended, and overlap is skip"
_WAITED = "another occurrence was already waiting for an earlier run, and overlap is queue"
_CATCH_UP = {
    schedule.CatchUp.LAST: "it was missed, a later one was due as well, and catch_up is last",
    schedule.CatchUp.NONE: "it was more than a minute late, and catch_up is none",
}
_WINDOW = "it was later than catch_up_window"
_GIVEN_UP = "the search found no later occurrence within its step limit: change the rule or its blackouts"


class Verdict(enum.Enum):
    """What happens to the next occurrence of a schedule."""

    LATER = enum.auto()
    """Nothing: it is not due yet."""
    WAITS = enum.auto()
    """It waits for an earlier run to end."""
    RUNS = enum.auto()
    IS_SKIPPED = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """The next occurrence of a schedule, and its task."""

    nominal: datetime.datetime
    due: datetime.datetime
    """When it is due by the rule."""
    execution_time: datetime.datetime
    """When its task is due: a caller may have changed it."""
    is_refused: bool = False
    """Whether a caller cancelled or deleted its task."""
    is_overlapped: bool = False
    """Whether an earlier run has not ended."""
    is_waiting: bool = False
    """Whether it has been due before, and waits for an earlier run."""

    def is_time(self, now: datetime.datetime) -> bool:
        """Returns whether the schedule has to advance: by its rule, or because a caller moved the task forward."""
        return self.due <= now or (self.execution_time <= now and not self.is_refused)

    def is_postponed(self, now: datetime.datetime) -> bool:
        """Returns whether a caller moved the task to a time that is still to come."""
        return self.execution_time > max(now, self.due)


@dataclasses.dataclass(frozen=True, slots=True)
class Advance:
    """The decision about the next occurrence."""

    verdict: Verdict
    reason: str | None
    """Why it is skipped."""
    skips: list[recurrence.Skip]
    """All skipped occurrences, possibly this one; `until` is the last of several."""
    next: recurrence.Occurrence | None
    """The one after it, if it runs or is skipped. While it waits: the one at whose due time the schedule advances."""
    last_nominal: datetime.datetime
    """The last nominal time that was run or skipped."""


@dataclasses.dataclass(frozen=True, slots=True)
class First:
    """The first free occurrence after a moment."""

    skips: list[recurrence.Skip]
    """Before it."""
    next: recurrence.Occurrence | None
    """None if there is none, or none was found yet."""
    continues_after: datetime.datetime | None = None
    """The nominal time after which the search has to be continued."""


def plan(advanced: schedule.Schedule, this: Due, now: datetime.datetime) -> Advance:
    """Decides about the next occurrence."""
    if not this.is_time(now):
        return Advance(Verdict.LATER, None, [], None, advanced.last_nominal_time)
    steps = recurrence.Steps()
    try:
        reason, since = _decide(advanced, this, now, steps)
    except recurrence.TooManyStepsError:
        # It runs, and `first` finds no occurrence after it.
        reason, since = None, None
    if reason is None and (this.is_waiting or _has_to_wait(advanced, this, now)) and not this.is_postponed(now):
        return _wait(advanced, this, now)
    skips = [] if reason is None else [recurrence.Skip(this.nominal, this.nominal, reason)]
    last_nominal = this.nominal
    if reason is not None and since is not None:
        missed = passed(advanced, this.nominal, since, reason)
        skips = together([*skips, *missed])
        last_nominal = max(last_nominal, since - _MICROSECOND) if missed else last_nominal
    following = first(advanced.spec, last_nominal, advanced.seed)
    verdict = Verdict.RUNS if reason is None else Verdict.IS_SKIPPED
    return Advance(verdict, reason, [*skips, *following.skips], following.next, last_nominal)


def first(
    spec: recurrence.Spec,
    after: datetime.datetime,
    seed: str,
    *,
    taken: Collection[datetime.datetime] = (),
    taken_until: datetime.datetime | None = None,
) -> First:
    """Returns the first occurrence after that moment whose nominal time is not taken, and the skips before it.

    Later than `taken_until`, if given, it is not known which nominal times are taken. A search that reaches its step
    limit returns no occurrence, and a skip with that reason.
    """
    skips: list[recurrence.Skip] = []
    try:
        for event in recurrence.events(spec, after, seed=seed):
            if taken_until is not None and event.nominal > taken_until:
                return First(skips, None, taken_until)
            if not isinstance(event, recurrence.Occurrence):
                skips.append(event)
            elif event.nominal not in taken:
                return First(skips, event)
    except recurrence.TooManyStepsError:
        last = skips[-1].until if skips else after
        return First([*together(skips), recurrence.Skip(last, last, _GIVEN_UP)], None)
    return First(skips, None)


def given(spec: recurrence.Spec, nominal: datetime.datetime, seed: str) -> recurrence.Occurrence | None:
    """Returns the occurrence with that nominal time; None if the rule does not give it."""
    with contextlib.suppress(recurrence.TooManyStepsError):
        found = next(recurrence.occurrences(spec, recurrence.just_before(nominal), seed=seed), None)
        return found if found is not None and found.nominal == nominal else None
    return None


def _has_to_wait(advanced: schedule.Schedule, this: Due, now: datetime.datetime) -> bool:
    return this.is_overlapped and advanced.overlap is schedule.Overlap.QUEUE and not this.is_postponed(now)


def _wait(advanced: schedule.Schedule, this: Due, now: datetime.datetime) -> Advance:
    """Decides about an occurrence that waits, or has waited: those that are due meanwhile are skipped."""
    last_nominal = max(this.nominal, advanced.last_nominal_time) if this.is_waiting else this.nominal
    skips = passed(advanced, last_nominal, now + _MICROSECOND, _WAITED)
    last_nominal = max(last_nominal, now) if skips else last_nominal
    following = first(advanced.spec, last_nominal, advanced.seed)
    if _has_to_wait(advanced, this, now):
        # What is skipped before the following one is logged when that one is due.
        return Advance(Verdict.WAITS, None, together(skips), following.next, last_nominal)
    return Advance(Verdict.RUNS, None, [*together(skips), *following.skips], following.next, last_nominal)


def _decide(
    advanced: schedule.Schedule, this: Due, now: datetime.datetime, steps: recurrence.Steps
) -> tuple[str | None, datetime.datetime | None]:
    """Returns why this occurrence, or later ones, are skipped, and the moment at which skipping ends."""
    if this.is_refused:
        return REFUSED, None
    if this.is_postponed(now):
        return None, None
    if this.is_overlapped and advanced.overlap is schedule.Overlap.SKIP:
        return _OVERLAP, now
    if this.is_waiting or now - this.execution_time <= ON_TIME:
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
    if window is not None and now - this.execution_time > window:
        return _WINDOW, max(this.nominal, now - window)
    return None, None


def passed(
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


def together(skips: list[recurrence.Skip]) -> list[recurrence.Skip]:
    """Merges many skips into one, from the first to the last, with all their reasons."""
    if len(skips) <= _MOST_SINGLY:
        return skips
    reasons = dict.fromkeys(skip.reason for skip in skips)
    return [recurrence.Skip(skips[0].nominal, skips[-1].until, ", or ".join(reasons))]
