"""Looking up the blackouts of a spec that apply to a local time, in a time that hardly depends on their number."""

import bisect
import dataclasses
import datetime
import functools
from collections.abc import Iterable

from duetime_core.model.recurrence.spec import Blackout, BlackoutBehavior

_MICROSECOND = datetime.timedelta(microseconds=1)
_DAY = 86_400_000_000  # in microseconds, like all times of the week
_WEEK = 7 * _DAY
_Span = tuple[int, int, bool]  # start, end, and whether its behavior is skip


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """The effect of blackouts on a local time."""

    skips: bool
    end: datetime.datetime | None
    """The local time at which the last of them ends; None: never within the calendar."""
    same_until: datetime.datetime | None
    """The end of the time range with the same effect; None: the calendar's end."""


class Calendar:
    """The blackouts of a spec."""

    def __init__(self, blackouts: Iterable[Blackout]) -> None:
        weekly: list[_Span] = []
        dates: list[_Span] = []
        for blackout in blackouts:
            skips = blackout.behavior is BlackoutBehavior.SKIP
            if blackout.first_date is not None and blackout.last_date is not None:
                dates.append((blackout.first_date.toordinal(), blackout.last_date.toordinal() + 1, skips))
                continue
            assert blackout.from_time is not None
            assert blackout.until_time is not None
            begin, end = _of_day(blackout.from_time), _of_day(blackout.until_time)
            end += _DAY if end <= begin else 0
            weekly += [(day * _DAY + begin, day * _DAY + end, skips) for day in blackout.days]
        # With the previous week, whose blackouts may still apply, and the following week, in which the next may begin.
        self._weekly = _Spans(
            (begin + shift, end + shift, skips) for shift in (-_WEEK, 0, _WEEK) for begin, end, skips in weekly
        )
        self._dates = _Spans(dates)
        self.is_total = bool(weekly) and self._weekly.cover(0, _WEEK)
        """Whether the weekly blackouts cover the whole week."""

    def at(self, local: datetime.datetime) -> Hold | None:
        """Returns the effect at a naive local time; None if no blackout applies."""
        now = _of_week(local)
        ends: list[datetime.datetime | None] = []
        skip_ends: list[datetime.datetime | None] = []
        if (weekly := self._weekly.at(now)) is not None:
            ends.append(local + (weekly[0] - now) * _MICROSECOND)
            if weekly[1] is not None:
                skip_ends.append(local + (weekly[1] - now) * _MICROSECOND)
        if (dates := self._dates.at(local.toordinal())) is not None:
            ends.append(_midnight(dates[0]))
            if dates[1] is not None:
                skip_ends.append(_midnight(dates[1]))
        if not ends:
            return None
        end = _latest(ends)
        if skip_ends:
            return Hold(True, end, _latest(skip_ends))
        begin = self.next_begin(local)
        return Hold(False, end, begin if end is None or (begin is not None and begin < end) else end)

    def next_begin(self, local: datetime.datetime) -> datetime.datetime | None:
        """Returns the first local time after `local` at which a blackout begins; None if there is none."""
        begins = []
        now = _of_week(local)
        if (begin := self._weekly.next_begin(now)) is not None:
            begins.append(local + (begin - now) * _MICROSECOND)
        if (day := self._dates.next_begin(local.toordinal())) is not None:
            begins.append(datetime.datetime.fromordinal(day))
        return min(begins, default=None)


class _Spans:
    """Spans that may overlap, sorted by start, and the union of those that skip."""

    def __init__(self, spans: Iterable[_Span]) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []  # the latest end of all spans started by then
        self._skip_begins: list[int] = []
        self._skip_ends: list[int] = []
        for begin, end, skips in sorted(spans):
            self._begins.append(begin)
            self._ends.append(max(end, self._ends[-1]) if self._ends else end)
            if skips and self._skip_ends and begin <= self._skip_ends[-1]:
                self._skip_ends[-1] = max(end, self._skip_ends[-1])
            elif skips:
                self._skip_begins.append(begin)
                self._skip_ends.append(end)

    def at(self, now: int) -> tuple[int, int | None] | None:
        """Returns the end of the last span that applies, and of the skipping union that does; None if none applies."""
        number = bisect.bisect_right(self._begins, now) - 1
        if number < 0 or self._ends[number] <= now:
            return None
        skip = bisect.bisect_right(self._skip_begins, now) - 1
        return self._ends[number], self._skip_ends[skip] if skip >= 0 and self._skip_ends[skip] > now else None

    def next_begin(self, now: int) -> int | None:
        """Returns where the first one after `now` begins; None if there is none."""
        number = bisect.bisect_right(self._begins, now)
        return self._begins[number] if number < len(self._begins) else None

    def cover(self, begin: int, end: int) -> bool:
        """Returns whether they cover everything between two points."""
        while begin < end:
            found = self.at(begin)
            if found is None:
                return False
            begin = found[0]
        return True


@functools.lru_cache(maxsize=64)  # a hundred blackouts take 200 KB
def calendar(blackouts: tuple[Blackout, ...]) -> Calendar:
    """Returns the calendar of those blackouts."""
    return Calendar(blackouts)


def _of_day(time: datetime.time) -> int:
    return ((time.hour * 60 + time.minute) * 60 + time.second) * 1_000_000 + time.microsecond


def _of_week(local: datetime.datetime) -> int:
    return local.weekday() * _DAY + _of_day(local.time())


def _midnight(ordinal: int) -> datetime.datetime | None:
    if ordinal > datetime.date.max.toordinal():
        return None
    return datetime.datetime.fromordinal(ordinal)


def _latest(moments: list[datetime.datetime | None]) -> datetime.datetime | None:
    known = [moment for moment in moments if moment is not None]
    return max(known) if len(known) == len(moments) else None
