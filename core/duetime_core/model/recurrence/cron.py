"""Cron expressions: the local times that they match, as instants in their order."""

import datetime
import heapq
import zoneinfo
from collections.abc import Iterator

from duetime_core.model.recurrence import expression, local_time
from duetime_core.model.recurrence.spec import MissingTime, RepeatedTime, Spec
from duetime_core.model.recurrence.steps import Steps

_DAY = datetime.timedelta(hours=25)
_SECOND = datetime.timedelta(seconds=1)
_EARLY_IN_A_STEP = 100
"""Times near a DST transition that turn out to be too early; together they are as cheap as one in a blackout."""


def repeated_time(spec: Spec) -> RepeatedTime:
    """Returns which repeated times count, with `auto` resolved for the rule."""
    if spec.repeated_time is not RepeatedTime.AUTO:
        return spec.repeated_time
    is_wildcard = spec.cron is not None and expression.read(spec.cron).is_wildcard
    return RepeatedTime.BOTH if is_wildcard else RepeatedTime.FIRST


def matches(
    spec: Spec, zone: zoneinfo.ZoneInfo, after: datetime.datetime, steps: Steps
) -> Iterator[tuple[datetime.datetime, bool]]:
    """Yields the instants after `after` at which the expression is due, each once and in their order.

    With each comes whether it is a time that is left out, and skipped: then it is where shifting would have put it.
    Raises TooManyStepsError.
    """
    assert spec.cron is not None
    repeated = repeated_time(spec)
    # Around DST transitions the order of local times is not that of their instants. The instants of a local time are
    # held until no earlier one can follow.
    waiting: list[tuple[datetime.datetime, bool]] = []
    last = None
    early = 0
    for local in expression.read(spec.cron).times(local_time.of(after, zone) - _margin(after, zone)):
        if local > local_time.LAST:
            break
        first_possible = (local - max(local_time.offsets(local, zone))).replace(tzinfo=datetime.UTC)
        while waiting and waiting[0][0] < first_possible:
            instant, is_skipped = heapq.heappop(waiting)
            if instant > after and instant != last:
                last = instant
                yield instant, is_skipped
            elif instant <= after:
                early += 1
                if early % _EARLY_IN_A_STEP == 0:
                    steps.take()
        instants = local_time.instants(local, zone, spec.missing_time, repeated)
        for instant in instants:
            heapq.heappush(waiting, (instant, False))
        if not instants:
            (shifted,) = local_time.instants(local, zone, MissingTime.SHIFT)
            heapq.heappush(waiting, (shifted, True))
    for instant, is_skipped in sorted(waiting):
        if instant > after and instant != last:
            last = instant
            yield instant, is_skipped


def _margin(after: datetime.datetime, zone: zoneinfo.ZoneInfo) -> datetime.timedelta:
    """Returns how much earlier than at `after` local times may be whose instants come after it."""
    change = _change(after, zone, _DAY)
    # A transition that is farther away than its size has no effect.
    return _change(after, zone, change + _SECOND) if change else change


def _change(moment: datetime.datetime, zone: zoneinfo.ZoneInfo, span: datetime.timedelta) -> datetime.timedelta:
    """Returns by how much the zone's offset changes within that span around a moment."""
    nearby = [(moment + away).astimezone(zone).utcoffset() for away in (-span, datetime.timedelta(0), span)]
    offsets = [offset for offset in nearby if offset is not None]
    return max(offsets) - min(offsets)
