"""From the local time of a zone to instants, where a change of the clock leaves a time out or brings it twice."""

import datetime
import zoneinfo

from duetime_core.recurrence.spec import MissingTime, RepeatedTime


def offsets(local: datetime.datetime, zone: zoneinfo.ZoneInfo) -> tuple[datetime.timedelta, datetime.timedelta]:
    """Returns the offsets of a naive local time before and after a change of the clock: the same away from one.

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
    """Returns the instants, in UTC, at which a naive local time is due: none, one or, in their order, two."""
    before, after = offsets(local, zone)
    first, last = (_instant(local, offset) for offset in (before, after))
    if before < after:
        # By the offset from before the gap, it lies as far behind the gap as it would have lain within it.
        return (first,) if missing is MissingTime.SHIFT else ()
    if before == after or repeated is RepeatedTime.FIRST:
        return (first,)
    return (last,) if repeated is RepeatedTime.LAST else (first, last)


def of(instant: datetime.datetime, zone: zoneinfo.ZoneInfo) -> datetime.datetime:
    """Returns what a clock in the zone shows then, naive."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _instant(local: datetime.datetime, offset: datetime.timedelta) -> datetime.datetime:
    return (local - offset).replace(tzinfo=datetime.UTC)
