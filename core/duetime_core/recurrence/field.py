"""One field of a cron expression: its text, and the values that it stands for."""

import dataclasses
import re

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_TERM = re.compile(
    r"(?:\*|(?P<first>[A-Z]+|[0-9]+)(?P<range>-(?P<last>[A-Z]+|[0-9]+))?)(?:/(?P<step>[0-9]+))?", re.ASCII
)
_NTH = re.compile(r"([A-Z]+|[0-9]+)#([1-5])", re.ASCII)
_LAST = re.compile(r"([0-9])L", re.ASCII)
_WEEK = 7

LAST_DAY = "L"
LAST_WEEKDAY = "LW"
LAST = 0
"""Instead of the number of a weekday within its month."""


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """What may stand in a field. Its first name stands for `first_named`."""

    name: str
    lowest: int
    highest: int
    allowed: str
    names: tuple[str, ...] = ()
    first_named: int = 0


SECOND = Field("second", 0, 59, "it is 0 to 59")
MINUTE = Field("minute", 0, 59, "it is 0 to 59")
HOUR = Field("hour", 0, 23, "it is 0 to 23")
DAY = Field("day-of-month", 1, 31, "it is 1 to 31, L for the last day or LW for the last weekday")
MONTH = Field("month", 1, 12, "it is 1 to 12 or jan to dec", _MONTHS, 1)
WEEKDAY = Field(
    "day-of-week",
    0,
    7,
    "it is 0 to 7, where 0 and 7 are Sunday, or sun to sat; 5L is the last Friday, fri#2 the second",
    _WEEKDAYS,
)
FIELDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclasses.dataclass(frozen=True, slots=True)
class Values:
    """What a field stands for: numbers in their order, and days that depend on their month.

    Those are LAST_DAY or LAST_WEEKDAY of the day of month; of the day of week a weekday with its number in the month,
    from 1 to 5 or LAST.
    """

    numbers: tuple[int, ...]
    days: frozenset[str] = frozenset()
    weekdays: frozenset[tuple[int, int]] = frozenset()


class FieldError(ValueError):
    """A field that cannot be read: which one, and which part of it is wrong."""

    def __init__(self, field: Field, term: str) -> None:
        super().__init__(term)
        self.field = field
        self.term = term


def read(field: Field, text: str) -> Values:
    """Returns the values of a field's text, which is in capital letters; raises FieldError."""
    numbers: set[int] = set()
    days: set[str] = set()
    weekdays: set[tuple[int, int]] = set()
    for term in text.split(","):
        if field is DAY and term in (LAST_DAY, LAST_WEEKDAY):
            days.add(term)
        elif field is WEEKDAY and (nth := _NTH.fullmatch(term)):
            weekdays.add((_number(field, nth[1], term) % _WEEK, int(nth[2])))
        elif field is WEEKDAY and (last := _LAST.fullmatch(term)):
            weekdays.add((_number(field, last[1], term) % _WEEK, LAST))
        else:
            numbers |= set(_numbers(field, term))
    if field is WEEKDAY:
        numbers = {number % _WEEK for number in numbers}
    return Values(tuple(sorted(numbers)), frozenset(days), frozenset(weekdays))


def too_wide_step(field: Field, text: str) -> tuple[str, int] | None:
    """Returns the first part of a field whose step leads out of it, and that step: such as `*/90` of minutes."""
    for term in text.split(","):
        step = term.rpartition("/")[2] if "/" in term else "0"
        if int(step) > field.highest:
            return term, int(step)
    return None


def _numbers(field: Field, term: str) -> list[int]:
    found = _TERM.fullmatch(term)
    if found is None:
        raise FieldError(field, term)
    first, last, step = field.lowest, field.highest, int(found["step"] or 1)
    if found["first"]:
        first = _number(field, found["first"], term)
        if found["range"]:
            last = _number(field, found["last"], term)
        elif not found["step"]:
            last = first
    if not step:
        raise FieldError(field, term)
    if first > last and field is WEEKDAY:
        return [*range(first, last + _WEEK + 1)][::step]
    if first > last:
        raise FieldError(field, term)
    return list(range(first, last + 1, step))


def _number(field: Field, text: str, term: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.first_named
    if not text.isdigit() or not field.lowest <= int(text) <= field.highest:
        raise FieldError(field, term)
    return int(text)
