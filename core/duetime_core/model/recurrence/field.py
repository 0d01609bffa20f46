"""One field of a cron expression, parsed by cronsim."""

import dataclasses
import datetime
import re

import cronsim

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_RANGE = re.compile(r"([A-Z]+|[0-9]+)-([A-Z]+|[0-9]+)(?:/0*([1-9][0-9]*))?", re.ASCII)
# cronsim takes L/2 for L, 05L for 5L and fri#02 for fri#2.
_REFUSED = re.compile(r"\Z|LW?/|0[0-9]+L|.*#0", re.ASCII)
_WEEK = 7
_UNUSED = datetime.datetime.min.replace(tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """The values and names that a field allows. The first name is the lowest value."""

    name: str
    lowest: int
    highest: int
    allowed: str
    names: tuple[str, ...] = ()


SECOND = Field("second", 0, 59, "it is 0 to 59")
MINUTE = Field("minute", 0, 59, "it is 0 to 59")
HOUR = Field("hour", 0, 23, "it is 0 to 23")
DAY = Field("day-of-month", 1, 31, "it is 1 to 31, L for the last day or LW for the last weekday")
MONTH = Field("month", 1, 12, "it is 1 to 12 or jan to dec", _MONTHS)
WEEKDAY = Field(
    "day-of-week",
    0,
    7,
    "it is 0 to 7, where 0 and 7 are Sunday, or sun to sat; 5L is the last Friday, fri#2 the second",
    _WEEKDAYS,
)
FIELDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


def read(texts: list[str]) -> cronsim.CronSim:
    """Returns the values of six fields, whose texts are in capital letters; raises ValueError."""
    plain = [
        ",".join(_plain(field, term) for term in text.split(",")) for field, text in zip(FIELDS, texts, strict=True)
    ]
    try:
        return cronsim.CronSim(" ".join(plain), _UNUSED)
    except cronsim.CronSimError as error:
        raise ValueError(str(error)) from None


def wrong_term(field: Field, text: str) -> str | None:
    """Returns the first invalid part of a field, whose text is in capital letters; None if it is valid."""
    return next((term for term in text.split(",") if not _is_read(field, term)), None)


def too_wide_step(field: Field, text: str) -> tuple[str, int] | None:
    """Returns the first part of a field whose step exceeds its range, and that step: such as `*/90` for minutes."""
    for term in text.split(","):
        step = term.rpartition("/")[2] if "/" in term else "0"
        if int(step) > field.highest:
            return term, int(step)
    return None


def _is_read(field: Field, term: str) -> bool:
    try:
        return bool(read([term if each is field else "*" for each in FIELDS]))
    except ValueError:
        return False


def _plain(field: Field, term: str) -> str:
    """Returns a part of a field as cronsim reads it; raises ValueError."""
    if _REFUSED.match(term):
        raise ValueError(term)
    found = _RANGE.fullmatch(term)
    if found is None:
        return term
    first, last = (_number(field, bound) for bound in found.group(1, 2))
    if field is WEEKDAY and last < first <= field.highest:
        return ",".join(str(number % _WEEK) for number in range(first, last + _WEEK + 1, int(found[3] or 1)))
    # cronsim takes a step from a range of one value on to the end of the field.
    return found[1] if first == last else term


def _number(field: Field, text: str) -> int:
    return field.names.index(text) + field.lowest if text in field.names else int(text)
