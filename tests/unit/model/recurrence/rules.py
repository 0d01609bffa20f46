"""Random rules, zones and moments, many of them around DST transitions."""

import datetime

from hypothesis import strategies

from duetime_core.model import recurrence
from duetime_core.model.recurrence import zones
from tests.unit.model.recurrence.fields import field

# Zones with odd DST transitions: by half an hour, by a day, around Ramadan, at midnight, in the south.
ODD = (
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "America/New_York",
    "Europe/Lisbon",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "America/Nuuk",
    "UTC",
)


EXPRESSIONS = strategies.tuples(
    field(0, 59), field(0, 23), strategies.one_of(strategies.just("*"), field(1, 28)), field(1, 12), field(0, 7)
).map(" ".join)
ZONES = strategies.one_of(strategies.sampled_from(ODD), strategies.sampled_from(sorted(zones.names())))


@strategies.composite
def moments(draw: strategies.DrawFn) -> tuple[str, datetime.datetime]:
    """A zone and a moment in it: often a DST transition."""
    name = draw(ZONES)
    year = draw(strategies.integers(2010, 2035))
    moment = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(
        minutes=draw(strategies.integers(0, 525_000))
    )
    if draw(strategies.booleans()):
        zone, day = zones.zone(name), datetime.timedelta(days=1)
        for _ in range(366):
            if (moment + day).astimezone(zone).utcoffset() != moment.astimezone(zone).utcoffset():
                break
            moment += day
        moment += datetime.timedelta(minutes=draw(strategies.integers(-300, 2000)))
    return name, moment


MINUTES = strategies.integers(0, 1439).map(lambda minute: datetime.time(minute // 60, minute % 60))
BEHAVIORS = strategies.sampled_from(recurrence.BlackoutBehavior)


@strategies.composite
def blackouts(draw: strategies.DrawFn, around: datetime.date) -> tuple[recurrence.Blackout, ...]:
    """One to four blackouts, of hours or of dates near that one."""
    dates = strategies.integers(-3, 3).map(lambda days: around + datetime.timedelta(days=days))
    weekly = strategies.builds(
        recurrence.Blackout,
        days=strategies.frozensets(strategies.integers(0, 6), min_size=1),
        from_time=MINUTES,
        until_time=MINUTES,
        behavior=BEHAVIORS,
    )
    of_dates = strategies.tuples(dates, dates, BEHAVIORS).map(
        lambda drawn: recurrence.Blackout(first_date=min(drawn[:2]), last_date=max(drawn[:2]), behavior=drawn[2])
    )
    return tuple(draw(strategies.lists(strategies.one_of(weekly, of_dates), min_size=1, max_size=4)))
