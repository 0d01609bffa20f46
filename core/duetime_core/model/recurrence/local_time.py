"""Converting local times to instants, including times that a DST transition skips or repeats."""

import datetime
import zoneinfo

from duetime_core.model.recurrence.spec import MissingTime, RepeatedTime

FIRST = datetime.datetime(1, 1, 3)  # noqa: DTZ001 - local times are naive
LAST = datetime.datetime(9999, 12, 20)  # noqa: DTZ001
"""Between them each local time has an instant in every zone, and so has the week after it."""
_SECOND = datetime.timedelta(seconds=1)


def offsets(local: datetime.datetime, zone: zoneinfo.ZoneInfo) -> tuple[datetime.timedelta, datetime.timedelta]:
    """Returns the offsets of a naive local time before and after a DST transition: the same away from one.

    The second one is larger where the time is left out, and smaller where it comes twice (PEP 495).
    """
    before, after = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    assert before is not None
    assert after is not None
    return before, after


def instants(
    local: datetime.datetime,
    zone: zoneinfo.ZoneInfo,
    missing: MissingTime = MissingTime.SHIFT,
    repeated: RepeatedTime = RepeatedTime.FIRST,
) -> tuple[datetime.datetime, ...]:
    """Returns the instants, in UTC, at which a naive local time is due: none, one or, in their order, two.

    Raises OverflowError for a time of the calendar's first or last day whose instant lies out of it.
    """
    before, after = offsets(local, zone)
    first, last = (_instant(local, offset) for offset in (before, after))
    if before < after:
        # By the offset from before the gap, it lies as far behind the gap as it would have lain within it.
        return (first,) if missing is MissingTime.SHIFT else ()
    if before == after or repeated in (RepeatedTime.FIRST, RepeatedTime.AUTO):
        return (first,)
    return (last,) if repeated is RepeatedTime.LAST else (first, last)


def of(instant: datetime.datetime, zone: zoneinfo.ZoneInfo) -> datetime.datetime:
    """Returns the naive local time of an instant in the zone."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def reached(local: datetime.datetime, zone: zoneinfo.ZoneInfo, after: datetime.datetime) -> datetime.datetime:
    """Returns the first instant after `after` at which the zone's local time reaches or skips that time."""
    before, then = offsets(local, zone)
    first, last = _instant(local, before), _instant(local, then)
    if before < then:
        return change(zone, last, first)
    return first if first > after else last


def change(zone: zoneinfo.ZoneInfo, low: datetime.datetime, high: datetime.datetime) -> datetime.datetime:
    """Returns the instant of the transition between two instants whose offsets differ."""
    before = _offset(low, zone)
    while high - low > _SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle <= low:
            break
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return high.replace(microsecond=0)


def is_set_back(zone: zoneinfo.ZoneInfo, low: datetime.datetime, high: datetime.datetime) -> bool:
    """Returns whether the zone's local time is earlier at the later of two instants."""
    return _offset(high, zone) < _offset(low, zone)


def _instant(local: datetime.datetime, offset: datetime.timedelta) -> datetime.datetime:
    return (local - offset).replace(tzinfo=datetime.UTC)


def _offset(instant: datetime.datetime, zone: zoneinfo.ZoneInfo) -> datetime.timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset
