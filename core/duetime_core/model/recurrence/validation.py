"""Validation of a spec."""

import dataclasses
import datetime
import itertools
from collections.abc import Iterator

from duetime_core.model.recurrence import blackouts, cron_check, occurrence, steps, zones
from duetime_core.model.recurrence.spec import ZERO, Blackout, Spec

MIN_INTERVAL = datetime.timedelta(seconds=1)
MAX_INTERVAL = datetime.timedelta(days=3_653)
MOST_BLACKOUTS = 100
_LOOKED_AT = 50
"""How many occurrences are compared to find the shortest time between two."""


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """An invalid field: its path in the spec, such as `blackouts[0].days`, and what would be valid."""

    field: str
    description: str


def problems(spec: Spec, now: datetime.datetime) -> list[Problem]:
    """Returns all problems of the spec, used from `now` on."""
    found = [*_rule(spec), *_bounds(spec), *_blackouts(spec)]
    # The occurrences of a rule are checked only once the rule itself is valid.
    return found or list(_outcome(spec, now))


def _rule(spec: Spec) -> Iterator[Problem]:
    if spec.cron is None and spec.interval is None:
        yield Problem("cron", "is required, unless an interval is given: when it is due, such as '0 9 * * mon'")
    elif spec.cron is not None and spec.interval is not None:
        yield Problem("interval", "must not be given together with cron")
    elif spec.cron is not None:
        try:
            cron_check.check(spec.cron)
        except cron_check.CronError as error:
            yield Problem("cron", str(error))
    elif spec.interval is not None and not MIN_INTERVAL <= spec.interval <= MAX_INTERVAL:
        yield Problem("interval", f"must be from {_shown(MIN_INTERVAL)} to {_shown(MAX_INTERVAL)}")
    if spec.anchor is not None and spec.interval is None:
        yield Problem("anchor", "is for an interval: a cron expression has none")
    try:
        zones.zone(spec.time_zone)
    except zones.UnknownZoneError as error:
        yield Problem("time_zone", str(error))


def _bounds(spec: Spec) -> Iterator[Problem]:
    if spec.start_time is not None and spec.end_time is not None and spec.end_time < spec.start_time:
        yield Problem("end_time", "must not be before start_time")
    if spec.jitter < ZERO:
        yield Problem("jitter", "must not be negative")
    elif spec.interval is not None and spec.jitter >= spec.interval:
        yield Problem("jitter", f"must be shorter than the interval, {_shown(spec.interval)}")


def _blackouts(spec: Spec) -> Iterator[Problem]:
    if len(spec.blackouts) > MOST_BLACKOUTS:
        yield Problem("blackouts", f"must be at most {MOST_BLACKOUTS}; there are {len(spec.blackouts)}")
    for number, blackout in enumerate(spec.blackouts):
        for problem in _blackout(blackout):
            yield Problem(f"blackouts[{number}].{problem.field}", problem.description)


def _blackout(blackout: Blackout) -> Iterator[Problem]:
    is_weekly = bool(blackout.from_time or blackout.until_time or blackout.days)
    has_dates = bool(blackout.first_date or blackout.last_date)
    if is_weekly and has_dates:
        yield Problem("first_date", "must not be given together with days, from_time and until_time")
    elif is_weekly:
        for name in ("from_time", "until_time"):
            if getattr(blackout, name) is None:
                yield Problem(name, "is required for hours of the week, such as 22:00")
        if not blackout.days:
            yield Problem("days", "must name a day")
    elif not has_dates:
        yield Problem("from_time", "is required, with until_time; or days, or first_date, for whole days")
    elif blackout.first_date is None or blackout.last_date is None:
        yield Problem("first_date", "is required with last_date: the first of the whole days")
    elif blackout.last_date < blackout.first_date:
        yield Problem("last_date", "must not be before first_date")


def _outcome(spec: Spec, now: datetime.datetime) -> Iterator[Problem]:
    first = []
    try:
        for found in itertools.islice(occurrence.occurrences(spec, now), _LOOKED_AT):
            first.append(found)  # noqa: PERF402 - what was found before the search reached its limit counts
    except steps.TooManyStepsError as error:
        if not first:
            field, verb = ("blackouts", "leave") if spec.blackouts else ("cron", "leaves")
            yield Problem(field, f"{verb} nothing that is found: {error}")
            return
    if not first:
        yield _never(spec, now)
        return
    gaps = [later.nominal - earlier.nominal for earlier, later in itertools.pairwise(first)]
    if spec.cron is not None and gaps and spec.jitter >= min(gaps):
        yield Problem("jitter", f"must be shorter than the time between occurrences, which may be {_shown(min(gaps))}")


def _never(spec: Spec, now: datetime.datetime) -> Problem:
    if spec.end_time is not None and spec.end_time <= now:
        return Problem("end_time", "must not be past: nothing would ever be due")
    if spec.blackouts and _ever(dataclasses.replace(spec, blackouts=()), now):
        if blackouts.calendar(spec.blackouts).is_total:
            return Problem("blackouts", "leave nothing: together they take the whole week")
        return Problem("blackouts", "leave nothing: no occurrence lies outside of them")
    if spec.end_time is not None and _ever(dataclasses.replace(spec, blackouts=(), end_time=None), now):
        return Problem("end_time", "comes before the first occurrence: nothing would ever be due")
    if spec.start_time is not None and spec.start_time > now:
        return Problem("start_time", "is too late: nothing would be due before the calendar ends, in the year 9999")
    return Problem("cron", "never matches")


def _ever(spec: Spec, now: datetime.datetime) -> bool:
    return next(occurrence.occurrences(spec, now), None) is not None


def _shown(span: datetime.timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds:g} s" if seconds < 86_400 else f"{seconds / 86_400:g} days"
