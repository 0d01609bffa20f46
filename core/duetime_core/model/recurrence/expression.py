"""A cron expression: the local times that it matches, found without testing those that it does not."""

import bisect
import calendar
import datetime
import functools
from collections.abc import Iterator

import cronsim

from duetime_core.model.recurrence import field

NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LENGTHS = {month: (28, 29) if month == 2 else (calendar.monthrange(2026, month)[1],) for month in range(1, 13)}


def texts(expression: str) -> list[str]:
    """Returns the texts of the fields of an expression, or of a name such as `@daily`, in capital letters."""
    return NAMED.get(expression.strip().lower(), expression).upper().split()


class Expression:
    """Five or six fields. Raises ValueError if a field is invalid, or their number is."""

    def __init__(self, written: list[str]) -> None:
        second, *others = written if len(written) == len(field.FIELDS) else ["0", *written]
        minute, hour, day, month, weekday = others
        # Quartz writes ? in one of the two day fields.
        day, weekday = ("*" if text == "?" else text for text in (day, weekday))
        # Apart, because cronsim refuses some days that none of the months has.
        times = field.read([second, minute, hour, "*", month, "*"])
        dates = field.read(["*", "*", "*", day, "*", weekday])
        self._seconds, self._minutes, self._hours, self._months = (
            tuple(sorted(values)) for values in (times.seconds, times.minutes, times.hours, times.months)
        )
        self._days = dates.days
        # Sunday is 0 and 7.
        self._weekdays = {each % 7 if isinstance(each, int) else (each[0] % 7, each[1]) for each in dates.weekdays}
        # As in Vixie cron: if both are restricted, a day needs to match only one.
        self._is_either = not dates.day_and
        self._found: dict[tuple[int, int], tuple[int, ...]] = {}
        self.is_wildcard = minute.startswith("*") or hour.startswith("*")
        """Whether it runs by elapsed minutes or hours rather than at times of day, as Debian's cron distinguishes."""

    @property
    def has_dates(self) -> bool:
        """Whether there is any date that it matches: in the calendar's 400 years each month begins on each weekday."""
        lengths = {length for month in self._months for length in _LENGTHS[month]}
        return any(self._dates(first, length) for length in lengths for first in range(7))

    def times(self, since: datetime.datetime) -> Iterator[datetime.datetime]:
        """Yields the naive local times that match, from the second of `since` on, to the end of the year 9999."""
        if not self.has_dates:
            return
        day_of_since = (since.year, since.month, since.day)
        for year in range(since.year, datetime.MAXYEAR + 1):
            for month in self._months:
                if (year, month) < day_of_since[:2]:
                    continue
                for day in self._dates(*calendar.monthrange(year, month)):
                    if (year, month, day) > day_of_since:
                        yield from self._on(year, month, day)
                    elif (year, month, day) == day_of_since:
                        yield from self._late_on(since)

    def _on(self, year: int, month: int, day: int) -> Iterator[datetime.datetime]:
        for hour in self._hours:
            for minute in self._minutes:
                for second in self._seconds:
                    yield datetime.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - local times are naive

    def _late_on(self, since: datetime.datetime) -> Iterator[datetime.datetime]:
        for hour in _from(self._hours, since.hour):
            is_first_hour = hour == since.hour
            for minute in _from(self._minutes, since.minute if is_first_hour else 0):
                is_first = is_first_hour and minute == since.minute
                for second in _from(self._seconds, since.second if is_first else 0):
                    yield since.replace(hour=hour, minute=minute, second=second, microsecond=0)

    def _dates(self, first: int, length: int) -> tuple[int, ...]:
        """Returns the days of a month that begins on that weekday, numbered as calendar does, and has so many days."""
        found = self._found.get((first, length))
        if found is None:
            found = tuple(day for day in range(1, length + 1) if self._matches(first, length, day))
            self._found[first, length] = found
        return found

    def _matches(self, first: int, length: int, day: int) -> bool:
        weekday = (first + day) % 7  # cron's: `calendar` counts from Monday, and cron from Sunday
        is_day = day in self._days or (
            (cronsim.CronSim.LAST in self._days and day == length)
            or (cronsim.CronSim.LAST_WEEKDAY in self._days and day == _last_weekday(first, length))
        )
        is_weekday = (
            weekday in self._weekdays
            or (weekday, (day + 6) // 7) in self._weekdays
            or (day + 7 > length and (weekday, cronsim.CronSim.LAST) in self._weekdays)
        )
        return is_day or is_weekday if self._is_either else is_day and is_weekday


@functools.lru_cache(maxsize=1024)
def read(expression: str) -> Expression:
    """Parses an expression. Raises ValueError if it is invalid."""
    return Expression(texts(expression))


def _last_weekday(first: int, length: int) -> int:
    last = (first + length - 1) % 7  # Monday is 0
    return length - max(0, last - 4)


def _from(numbers: tuple[int, ...], lowest: int) -> tuple[int, ...]:
    return numbers[bisect.bisect_left(numbers, lowest) :]
