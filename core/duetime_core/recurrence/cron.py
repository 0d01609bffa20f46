"""Cron expressions: the local times that they match, as instants in their order."""

import datetime
import heapq
import zoneinfo
from collections.abc import Iterator

import cronsim

from duetime_core.recurrence import local_time
from duetime_core.recurrence.spec import MissingTime, Spec

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
NAMES = tuple(_NAMED)
_ALLOWED = {
    "second": ": it is 0 to 59",
    "minute": ": it is 0 to 59",
    "hour": ": it is 0 to 23",
    "day-of-month": ": it is 1 to 31, L for the last day or LW for the last weekday",
    "month": ": it is 1 to 12 or jan to dec",
    "day-of-week": ": it is 0 to 7, where 0 and 7 are Sunday, or sun to sat; 5L is the last Friday, fri#2 the second",
}
_DAY = datetime.timedelta(hours=25)
_MICROSECOND = datetime.timedelta(microseconds=1)


class CronError(ValueError):
    """An expression that cannot be read. Says what would be right."""


def check(expression: str) -> None:
    """Raises CronError if the expression cannot be read."""
    fields = expand(expression).split()
    if len(fields) not in (5, 6):
        raise CronError(
            f"has {len(fields)} fields, not 5 (minute, hour, day of month, month, day of week) or 6 (second first)"
            f"; or one of {', '.join(NAMES)}"
        )
    try:
        cronsim.CronSim(expand(expression), datetime.datetime(2026, 1, 1))  # noqa: DTZ001 - local times are naive
    except cronsim.CronSimError as error:
        if _can_be_read(" ".join([*fields[:-2], "*", fields[-1]])):
            raise CronError("never comes true: there is no such date") from None
        bad = str(error).removeprefix("Bad ").lower()
        raise CronError(f"cannot be read: the {bad} is wrong{_ALLOWED.get(bad, '')}") from None


def _can_be_read(expression: str) -> bool:
    try:
        cronsim.CronSim(expression, datetime.datetime(2026, 1, 1))  # noqa: DTZ001 - local times are naive
    except cronsim.CronSimError:
        return False
    return True


def expand(expression: str) -> str:
    """Returns the expression that a name such as `@daily` stands for."""
    return _NAMED.get(expression.strip().lower(), expression)


def matches(spec: Spec, zone: zoneinfo.ZoneInfo, after: datetime.datetime) -> Iterator[tuple[datetime.datetime, bool]]:
    """Yields the instants after `after` at which the expression is due, each once and in their order.

    With each comes whether it is a time that is left out, and skipped: then it is where shifting would have put it.
    """
    assert spec.cron is not None
    # Around changes of the clock the order of local times is not that of their instants. A local time's instants wait
    # until the clock can show none that comes before them.
    waiting: list[tuple[datetime.datetime, bool]] = []
    last = None
    for local in _local_times(spec.cron, local_time.of(after, zone) - _margin(after, zone)):
        first_possible = (local - max(local_time.offsets(local, zone))).replace(tzinfo=datetime.UTC)
        while waiting and waiting[0][0] < first_possible:
            instant, is_skipped = heapq.heappop(waiting)
            if instant > after and instant != last:
                last = instant
                yield instant, is_skipped
        instants = local_time.instants(local, zone, spec.missing_time, spec.repeated_time)
        for instant in instants:
            heapq.heappush(waiting, (instant, False))
        if not instants:
            (shifted,) = local_time.instants(local, zone, MissingTime.SHIFT)
            heapq.heappush(waiting, (shifted, True))
    for instant, is_skipped in sorted(waiting):
        if instant > after and instant != last:
            last = instant
            yield instant, is_skipped


def _local_times(expression: str, after: datetime.datetime) -> Iterator[datetime.datetime]:
    # cronsim looks from the second after a moment; it ends where nothing matches for decades.
    yield from cronsim.CronSim(expand(expression), after.replace(microsecond=0) - _MICROSECOND)


def _margin(after: datetime.datetime, zone: zoneinfo.ZoneInfo) -> datetime.timedelta:
    """Returns how much earlier than at `after` a clock may show times whose instants come after it."""
    nearby = [(after + span).astimezone(zone).utcoffset() for span in (-_DAY, datetime.timedelta(0), _DAY)]
    offsets = [offset for offset in nearby if offset is not None]
    return max(offsets) - min(offsets)
