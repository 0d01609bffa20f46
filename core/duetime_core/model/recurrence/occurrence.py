"""The occurrences of a spec, and the nominal times that it skips."""

import dataclasses
import datetime
import itertools
import zoneinfo
from collections.abc import Iterator

from duetime_core.model.recurrence import blackouts, cron, due_time, local_time, zones
from duetime_core.model.recurrence.spec import EPOCH, Spec
from duetime_core.model.recurrence.steps import Steps

_MICROSECOND = datetime.timedelta(microseconds=1)
_DAY = datetime.timedelta(days=1)
_MOST_SINGLY = 100
"""How many skipped occurrences in a row are reported one by one; later ones are reported per blackout."""
_EARLIEST = local_time.FIRST.replace(tzinfo=datetime.UTC)
_LATEST = local_time.LAST.replace(tzinfo=datetime.UTC)

_BLACKOUT = "it is in a blackout"
_PAST_END = "a blackout would move it past end_time"


@dataclasses.dataclass(frozen=True, slots=True)
class Occurrence:
    """A time at which the spec is due. All times are in UTC.

    `nominal` is the time by the rule, and names the occurrence. It is `due` later, if a blackout moved it or by jitter.
    """

    nominal: datetime.datetime
    due: datetime.datetime
    is_moved: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Skip:
    """A nominal time without an occurrence, and why. If `until` is later, all nominal times up to it."""

    nominal: datetime.datetime
    until: datetime.datetime
    reason: str


def occurrences(
    spec: Spec, after: datetime.datetime, *, seed: str = "", steps: Steps | None = None
) -> Iterator[Occurrence]:
    """Yields the occurrences with a nominal time after `after`, in that order, to the calendar's end or the spec's.

    The jitter of an occurrence depends on `seed` and its nominal time alone. Raises TooManyStepsError.
    """
    found = _events(spec, after, seed, steps or Steps(), most_singly=0)
    return (event for event in found if isinstance(event, Occurrence))


def events(
    spec: Spec, after: datetime.datetime, *, seed: str = "", steps: Steps | None = None
) -> Iterator[Occurrence | Skip]:
    """Yields the occurrences as `occurrences` does, and between them what is skipped.

    Ends, too, where nothing is left of the spec by its blackouts. Raises TooManyStepsError.
    """
    return _events(spec, after, seed, steps or Steps(), most_singly=_MOST_SINGLY)


def just_before(moment: datetime.datetime) -> datetime.datetime:
    """Returns the moment after which `occurrences` yields those from `moment` on."""
    return max(moment, _EARLIEST) - _MICROSECOND


def last_between(
    spec: Spec, after: datetime.datetime, until: datetime.datetime, *, seed: str = "", steps: Steps | None = None
) -> Occurrence | None:
    """Returns the last occurrence with a nominal time after `after` and not after `until`; None if there is none.

    Raises TooManyStepsError.
    """
    steps = steps or Steps()
    last = None
    # Bisection: independent of how many occurrences there are, and how they are distributed.
    while after < until:
        middle = after + (until - after) / 2
        steps.begin_row()
        found = _first(_events(spec, middle, seed, steps, most_singly=0), until)
        if found is None:
            until = middle
        else:
            last, after = found, found.nominal
    return last


def _first(found: Iterator[Occurrence | Skip], until: datetime.datetime) -> Occurrence | None:
    for event in found:
        if event.nominal > until:
            return None
        if isinstance(event, Occurrence):
            return event
    return None


def _events(
    spec: Spec, after: datetime.datetime, seed: str, steps: Steps, *, most_singly: int
) -> Iterator[Occurrence | Skip]:
    zone = zones.zone(spec.time_zone)
    if blackouts.calendar(spec.blackouts).is_total:
        return
    due_times = due_time.DueTimes(spec, zone, seed, steps)
    if spec.start_time is not None and spec.start_time > after:
        after = just_before(spec.start_time)
    last = _LATEST if spec.end_time is None else min(spec.end_time, _LATEST)
    singly = 0
    nominals = _Nominals(spec, zone, after, steps)
    gap = _Gap(spec, steps, most_singly)
    for nominal, is_left_out in nominals:
        if nominal > last:
            break
        if is_left_out:
            yield from gap.leave_out(nominal)
            continue
        yield from gap.end()
        hold = due_times.hold(nominal)
        due = nominal if hold is None else due_times.moved(nominal, hold)
        if hold is None or (due is not None and due <= last):
            assert due is not None
            singly = 0
            steps.begin_row()
            yield Occurrence(nominal, due_times.with_jitter(nominal, due), is_moved=due != nominal)
            continue
        steps.take()
        singly += 1
        reason = _BLACKOUT if due is None else _PAST_END
        if singly <= most_singly:
            yield Skip(nominal, nominal, reason)
            continue
        until = due_times.same_until(nominal, hold)
        yield Skip(nominal, last if until is None else min(until, last), reason)
        if until is None:
            return
        nominals.pass_over(until)
    yield from gap.end()


class _Nominals:
    """The nominal times of a rule after a moment, each with whether a DST transition skips it."""

    def __init__(self, spec: Spec, zone: zoneinfo.ZoneInfo, after: datetime.datetime, steps: Steps) -> None:
        self._spec = spec
        self._zone = zone
        self._steps = steps
        self._found = self._after(after)
        self._following: tuple[datetime.datetime, bool] | None = None

    def __iter__(self) -> "_Nominals":
        return self

    def __next__(self) -> tuple[datetime.datetime, bool]:
        following, self._following = self._following, None
        return following or next(self._found)

    def pass_over(self, until: datetime.datetime) -> None:
        """Continues with the first one that is not before `until`."""
        self._following = next(self._found, None)
        if self._following is not None and self._following[0] < until:
            self._found = self._after(until - _MICROSECOND)
            self._following = None

    def _after(self, after: datetime.datetime) -> Iterator[tuple[datetime.datetime, bool]]:
        after = max(after, _EARLIEST)
        if after >= _LATEST:
            return iter(())
        if self._spec.cron is not None:
            return cron.matches(self._spec, self._zone, after, self._steps)
        return ((moment, False) for moment in _intervals(self._spec, after))


class _Gap:
    """Times that a DST transition skips: the first ones one by one, later ones merged."""

    def __init__(self, spec: Spec, steps: Steps, most_singly: int) -> None:
        self._spec = spec
        self._steps = steps
        self._most_singly = most_singly
        self._count = 0
        self._last: datetime.datetime | None = None
        self._together: Skip | None = None

    def leave_out(self, nominal: datetime.datetime) -> Iterator[Skip]:
        """Yields that one, or keeps it for `end`."""
        if self._last is None or nominal - self._last > _DAY:
            yield from self.end()
            self._steps.take()
        self._count += 1
        self._last = nominal
        if self._count <= self._most_singly:
            yield Skip(nominal, nominal, f"a DST transition of {self._spec.time_zone} skips this time")
        else:
            first = nominal if self._together is None else self._together.nominal
            self._together = Skip(first, nominal, f"a DST transition of {self._spec.time_zone} skips these times")

    def end(self) -> Iterator[Skip]:
        """Yields the ones that were merged."""
        if self._together is not None:
            yield self._together
        self._count, self._last, self._together = 0, None, None


def _intervals(spec: Spec, after: datetime.datetime) -> Iterator[datetime.datetime]:
    assert spec.interval is not None
    anchor = (spec.anchor or EPOCH).astimezone(datetime.UTC)
    try:
        for number in itertools.count((after - anchor) // spec.interval + 1):
            yield anchor + number * spec.interval
    except OverflowError:  # the year 10,000
        return
