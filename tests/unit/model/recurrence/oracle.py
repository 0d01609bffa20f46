"""What a cron expression matches, by brute force: written apart from the product, and from the library that it uses."""

import datetime
import zoneinfo
from collections.abc import Iterator

from duetime_core.model import recurrence

MINUTE = datetime.timedelta(minutes=1)


def parse(field: str, lowest: int, highest: int) -> set[int]:
    """Returns the values of a field made of `*`, numbers, ranges, steps and lists."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        span = f"{lowest}-{highest}" if span == "*" else f"{span}-{highest}" if step and "-" not in span else span
        first, _, last = span.partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


class Matcher:
    """Returns whether a local minute matches five fields."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.minutes, self.hours, self.months = parse(minute, 0, 59), parse(hour, 0, 23), parse(month, 1, 12)
        self.days, self.weekdays = parse(day, 1, 31), {number % 7 for number in parse(weekday, 0, 7)}
        # As Vixie's cron has it: where both are restricted, either one will do.
        self.is_either = not day.startswith("*") and not weekday.startswith("*")
        # As Debian's cron has it: what is for each minute or hour, and not for times of day.
        self.is_wildcard = "*" in (minute[0], hour[0])

    def __call__(self, local: datetime.datetime) -> bool:
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        is_day = day or weekday if self.is_either else day and weekday
        return is_day and local.minute in self.minutes and local.hour in self.hours and local.month in self.months


def due(
    expression: str,
    zone: zoneinfo.ZoneInfo,
    after: datetime.datetime,
    until: datetime.datetime,
    missing: recurrence.MissingTime,
    repeated: recurrence.RepeatedTime,
) -> list[datetime.datetime]:
    """Returns the instants after `after` and up to `until`, by looking at every minute of the zone's clock."""
    matches = Matcher(expression)
    if repeated is recurrence.RepeatedTime.AUTO:
        repeated = recurrence.RepeatedTime.BOTH if matches.is_wildcard else recurrence.RepeatedTime.FIRST
    shown: dict[datetime.datetime, list[datetime.datetime]] = {}  # local minute → the instants that show it
    instant = after - datetime.timedelta(days=2)
    while instant <= until + datetime.timedelta(days=2):
        shown.setdefault(instant.astimezone(zone).replace(tzinfo=None, fold=0), []).append(instant)
        instant += MINUTE
    found: set[datetime.datetime] = set()
    for local, instants in shown.items():
        if matches(local):
            picked = {"first": instants[:1], "last": instants[-1:], "both": instants}[repeated]
            found |= set(picked)
    if missing is recurrence.MissingTime.SHIFT:
        found |= {shifted for local, shifted in _left_out(shown) if matches(local)}
    return sorted(each for each in found if after < each <= until)


def _left_out(
    shown: dict[datetime.datetime, list[datetime.datetime]],
) -> Iterator[tuple[datetime.datetime, datetime.datetime]]:
    """Yields the local minutes that no instant shows, each with the instant that lies as far behind its gap."""
    before: datetime.datetime | None = None
    for local in sorted(shown):
        if before is not None and local - before > MINUTE:
            missing = before + MINUTE
            while missing < local:
                yield missing, shown[before][-1] + (missing - before)
                missing += MINUTE
        before = local


def held(blackouts: tuple[recurrence.Blackout, ...], local: datetime.datetime) -> list[tuple[bool, datetime.datetime]]:
    """Returns of each blackout that holds at a local time whether it skips, and the local time at which it ends."""
    found = []
    for blackout in blackouts:
        skips = blackout.behavior is recurrence.BlackoutBehavior.SKIP
        for begins, ends in _spans(blackout, local.date()):
            if begins <= local < ends:
                found.append((skips, ends))
    return found


def moved(
    blackouts: tuple[recurrence.Blackout, ...], zone: zoneinfo.ZoneInfo, nominal: datetime.datetime
) -> datetime.datetime | None:
    """Returns when blackouts let an occurrence be due, by walking the zone's clock; None if one skips it."""
    moment = nominal
    for _ in range(40_000):
        found = held(blackouts, moment.astimezone(zone).replace(tzinfo=None, fold=0))
        if not found:
            return moment
        if any(skips for skips, _ in found):
            return None
        ends = max(ends for _, ends in found)
        while moment.astimezone(zone).replace(tzinfo=None, fold=0) < ends:
            moment += MINUTE
    return None  # it never ends


def _spans(blackout: recurrence.Blackout, date: datetime.date) -> Iterator[tuple[datetime.datetime, datetime.datetime]]:
    day = datetime.timedelta(days=1)
    midnight = datetime.time()
    if blackout.first_date is not None and blackout.last_date is not None:
        yield (
            datetime.datetime.combine(blackout.first_date, midnight),
            datetime.datetime.combine(blackout.last_date + day, midnight),
        )
        return
    assert blackout.from_time is not None
    assert blackout.until_time is not None
    for begins in (date, date - day):
        if begins.weekday() in blackout.days:
            ends = begins + day * (blackout.until_time <= blackout.from_time)
            yield (
                datetime.datetime.combine(begins, blackout.from_time),
                datetime.datetime.combine(ends, blackout.until_time),
            )
