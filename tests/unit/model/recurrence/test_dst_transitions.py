"""Every zone, and each of its DST transitions between 2020 and 2035."""

import datetime
import functools
import itertools
import zoneinfo

import pytest

from duetime_core.model import recurrence
from duetime_core.model.recurrence import MissingTime, RepeatedTime, zones

BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2036, 1, 1, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
Change = tuple[str, datetime.datetime, datetime.timedelta, datetime.timedelta]


def offset(zone: zoneinfo.ZoneInfo, moment: datetime.datetime) -> datetime.timedelta:
    found = moment.astimezone(zone).utcoffset()
    assert found is not None
    return found


@functools.cache
def changes() -> list[Change]:
    """Returns each change: its zone, its moment, and the offsets before and after it."""
    found = []
    for name in sorted(zones.names()):
        zone = zones.zone(name)
        moment = BEGIN
        while moment < END:
            later = moment + datetime.timedelta(days=5)
            if offset(zone, moment) != offset(zone, later):
                low, high = moment, later
                while high - low > SECOND:
                    middle = low + (high - low) // 2
                    low, high = (middle, high) if offset(zone, middle) == offset(zone, moment) else (low, middle)
                high = high.replace(microsecond=0)
                found.append((name, high, offset(zone, moment), offset(zone, high)))
            moment = later
    return found


def test_there_are_thousands_of_them() -> None:
    assert len(changes()) > 5_000


@pytest.mark.parametrize("missing", MissingTime)
def test_a_time_that_is_left_out_is_shifted_or_skipped(missing: MissingTime) -> None:
    for name, change, before, after in changes():
        if after > before:
            # The local time half a gap behind the last one that was shown.
            local = (change + before + (after - before) / 2).replace(tzinfo=None)
            shifted = change + (after - before) / 2
            expected = (shifted,) if missing is MissingTime.SHIFT else ()
            assert recurrence.instants(local, zones.zone(name), missing) == expected, (name, change)
            if missing is MissingTime.SHIFT:
                assert shifted.astimezone(zones.zone(name)).replace(tzinfo=None) == local + (after - before)


@pytest.mark.parametrize("repeated", RepeatedTime)
def test_a_time_that_comes_twice_counts_the_first_the_last_or_both_times(repeated: RepeatedTime) -> None:
    for name, change, before, after in changes():
        if after < before:
            local = (change + after + (before - after) / 2).replace(tzinfo=None)
            both = (change - (before - after) / 2, change + (before - after) / 2)
            expected = {"auto": both[:1], "first": both[:1], "last": both[1:], "both": both}[repeated]
            assert recurrence.instants(local, zones.zone(name), repeated=repeated) == expected, (name, change)


def test_times_skipped_by_a_dst_transition_are_logged_one_by_one_and_then_together() -> None:
    # In New York the clock goes from 02:00 to 03:00 on 14 March 2027: 3,600 seconds of that hour are left out.
    gap = datetime.datetime(2027, 3, 14, 7, tzinfo=datetime.UTC)
    spec = recurrence.Spec(cron="* * 2 * * *", time_zone="America/New_York", missing_time=MissingTime.SKIP)
    events = list(itertools.islice(recurrence.events(spec, gap - SECOND), 102))
    assert [type(each) for each in events] == [recurrence.Skip] * 101 + [recurrence.Occurrence]
    together = events[100]
    assert isinstance(together, recurrence.Skip)
    assert (together.nominal, together.until) == (gap + 100 * SECOND, gap + 3_599 * SECOND)
    assert events[101].nominal == gap + datetime.timedelta(hours=23)


def test_a_rule_that_every_dst_transition_skips_is_refused() -> None:
    # Each last Sunday of March, when Lisbon has no 01:30.
    spec = recurrence.Spec(cron="30 1 * 3 7L", time_zone="Europe/Lisbon", missing_time=MissingTime.SKIP)
    (problem,) = recurrence.problems(spec, BEGIN)
    assert problem.field == "cron"
    shifted = recurrence.Spec(cron=spec.cron, time_zone=spec.time_zone)
    assert recurrence.problems(shifted, BEGIN) == []


WILDCARDS = {
    "*/15 * * * *": True,
    "30 * * * *": True,
    "*/5 1 * * *": True,
    "30 1 * * *": False,
    "0-59/5 1 * * *": False,
    "* 30 1 * * *": False,
    "@hourly": True,
    "@daily": False,
}


@pytest.mark.parametrize("expression", WILDCARDS)
def test_by_default_only_rules_of_each_minute_or_hour_run_through_the_repeated_hour(expression: str) -> None:
    # In Lisbon 01:00 to 02:00 comes twice on 31 October 2027; in UTC it never does.
    twice = datetime.datetime(2027, 10, 31, tzinfo=datetime.UTC)
    for repeated in (RepeatedTime.FIRST, RepeatedTime.BOTH):
        spec, as_given = (
            recurrence.Spec(cron=expression, time_zone="Europe/Lisbon", repeated_time=each)
            for each in (RepeatedTime.AUTO, repeated)
        )
        assert recurrence.repeated_time(spec) is (RepeatedTime.BOTH if WILDCARDS[expression] else RepeatedTime.FIRST)
        is_same = WILDCARDS[expression] is (repeated is RepeatedTime.BOTH)
        found, other = (
            list(itertools.islice(recurrence.occurrences(rule, twice - SECOND), 200)) for rule in (spec, as_given)
        )
        assert (found == other) is (is_same or expression == "@daily")


@pytest.mark.parametrize("repeated", RepeatedTime)
def test_a_rule_of_each_quarter_of_an_hour_misses_none_around_any_change(repeated: RepeatedTime) -> None:
    quarter = datetime.timedelta(minutes=15)
    for name, change, before, after in changes()[::7]:
        spec = recurrence.Spec(cron="*/15 * * * *", time_zone=name, repeated_time=repeated)
        found = []
        for each in recurrence.occurrences(spec, change - 8 * quarter):
            if each.nominal > change + 8 * quarter:
                break
            found.append(each.nominal)
        gaps = {later - earlier for earlier, later in itertools.pairwise(found)}
        # The hour that comes twice is run through once, if only one of them counts.
        pause = datetime.timedelta(0)
        if repeated in (RepeatedTime.FIRST, RepeatedTime.LAST):
            pause = max(before - after, pause)
        assert gaps <= {quarter, quarter + pause}, (name, change)
        assert len(found) == len(set(found))
