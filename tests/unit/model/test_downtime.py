"""After a downtime each nominal time of a schedule has run, or is logged once with its reason: by brute force."""

import datetime
import itertools

import pytest

from duetime_core.model import advance, recurrence, schedule
from duetime_core.model.recurrence import BlackoutBehavior
from duetime_core.model.schedule import CatchUp
from tests.unit.model import test_advance

HOUR = datetime.timedelta(hours=1)
MIDNIGHT = datetime.datetime(2027, 3, 1, tzinfo=datetime.UTC)
HOURS = ((2, 10), (20, 4), (10, 14), (1, 2))
DOWNTIMES = (3, 14, 30, 52)


def caught_up(
    advanced: schedule.Schedule, now: datetime.datetime
) -> tuple[list[datetime.datetime], list[recurrence.Skip], datetime.datetime]:
    """Advances the schedule from midnight until now; returns what ran, what was skipped, and the next nominal time."""
    first = advance.first(advanced.spec, MIDNIGHT - HOUR, advanced.seed)
    following, skips, ran = first.next, list(first.skips), []
    while following is not None and following.due <= now:
        decided = advance.plan(advanced, advance.Due(following.nominal, following.due, following.due), now)
        if decided.verdict is advance.Verdict.RUNS:
            ran.append(following.nominal)
        skips += decided.skips
        following = decided.next
    assert following is not None
    return ran, skips, following.nominal


@pytest.mark.parametrize("window", [None, 5 * HOUR], ids=["no window", "window"])
@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("behavior", BlackoutBehavior)
def test_each_nominal_time_of_a_downtime_with_blackouts_has_run_or_is_logged_once(
    behavior: BlackoutBehavior, catch_up: CatchUp, window: datetime.timedelta | None
) -> None:
    for (begin, end), down in itertools.product(HOURS, DOWNTIMES):
        blackout = recurrence.Blackout(frozenset(range(7)), datetime.time(begin), datetime.time(end), behavior=behavior)
        hourly = test_advance.hourly(
            {"cron": "0 * * * *", "blackouts": (blackout,)}, catch_up=catch_up, catch_up_window=window
        )
        ran, skips, following = caught_up(hourly, MIDNIGHT + down * HOUR + HOUR / 2)
        nominal = MIDNIGHT
        while nominal < following:
            logged = [skip.reason for skip in skips if skip.nominal <= nominal <= skip.until]
            assert (nominal in ran) + len(logged) == 1, (begin, end, down, nominal, logged)
            assert all(logged)
            is_held = nominal.hour in {hour % 24 for hour in range(begin, end + 24 * (end < begin))}
            if is_held and behavior is BlackoutBehavior.SKIP:
                assert logged == ["it is in a blackout"]
            nominal += HOUR
