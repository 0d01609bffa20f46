"""What changes a rule's times: its ends, jitter and blackouts; and what is wrong with a spec."""

import datetime
import itertools
import time

import pytest

from duetime_core.model import recurrence
from duetime_core.model.recurrence import Blackout, BlackoutBehavior, Skip, Spec

NOW = datetime.datetime(2027, 3, 1, 12, tzinfo=datetime.UTC)  # a Monday
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)


def first(spec: Spec, count: int, *, seed: str = "") -> list[recurrence.Occurrence]:
    return list(itertools.islice(recurrence.occurrences(spec, NOW, seed=seed), count))


def nominals(spec: Spec, count: int) -> list[str]:
    return [each.nominal.isoformat(timespec="minutes")[:16] for each in first(spec, count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 5 12 * * *", "2027-03-01T12:05"),
        ("@daily", "2027-03-02T00:00"),
        ("@hourly", "2027-03-01T13:00"),
        ("@Weekly", "2027-03-07T00:00"),
        ("0 0 L * *", "2027-03-31T00:00"),
        ("0 0 LW * *", "2027-03-31T00:00"),
        ("0 9 * * fri#2", "2027-03-12T09:00"),
        ("0 9 * * 5L", "2027-03-26T09:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
    ],
)
def test_cron_expressions_that_people_write(expression: str, expected: str) -> None:
    assert nominals(Spec(cron=expression), 1) == [expected]


def test_both_ends_are_inclusive() -> None:
    spec = Spec(cron="0 * * * *", start_time=NOW + 2 * HOUR, end_time=NOW + 4 * HOUR)
    assert nominals(spec, 9) == ["2027-03-01T14:00", "2027-03-01T15:00", "2027-03-01T16:00"]


def test_jitter_makes_it_later_by_the_same_each_time_it_is_computed() -> None:
    spec = Spec(cron="0 * * * *", jitter=HOUR / 4)
    delays = [each.due - each.nominal for each in first(spec, 200, seed="7")]
    assert all(datetime.timedelta(0) <= delay < HOUR / 4 for delay in delays)
    assert max(delays) - min(delays) > HOUR / 5
    assert delays == [each.due - each.nominal for each in first(spec, 200, seed="7")]
    assert delays != [each.due - each.nominal for each in first(spec, 200, seed="8")]


NIGHT = Blackout(
    days=frozenset(range(7)), from_time=datetime.time(22), until_time=datetime.time(6), behavior=BlackoutBehavior.SKIP
)


def test_a_blackout_skips_its_occurrences_with_that_reason() -> None:
    spec = Spec(cron="0 */4 * * *", blackouts=(NIGHT,), time_zone="Europe/Berlin")
    found = list(itertools.islice(recurrence.events(spec, NOW), 6))
    assert [(each.nominal.hour + 1, isinstance(each, Skip)) for each in found] == [
        (16, False), (20, False), (24, True), (4, True), (8, False), (12, False),
    ]  # fmt: skip


def test_a_blackout_moves_its_occurrences_to_its_end() -> None:
    move = Blackout(
        days=NIGHT.days, from_time=NIGHT.from_time, until_time=NIGHT.until_time, behavior=BlackoutBehavior.MOVE
    )
    holiday = Blackout(
        first_date=datetime.date(2027, 3, 2), last_date=datetime.date(2027, 3, 2), behavior=BlackoutBehavior.MOVE
    )
    spec = Spec(cron="0 23 * * *", blackouts=(move, holiday))
    occurrence = first(spec, 1)[0]
    # From the night into the holiday, and from its end into the next night.
    assert occurrence.nominal == NOW.replace(hour=23)
    assert occurrence.due == datetime.datetime(2027, 3, 3, 6, tzinfo=datetime.UTC)
    assert occurrence.is_moved


def test_a_long_blackout_is_skipped_and_logged_once() -> None:
    year = Blackout(first_date=datetime.date(2027, 3, 1), last_date=datetime.date(2028, 2, 29))
    spec = Spec(cron="* * * * * *", blackouts=(year,))
    began = time.process_time()
    found = list(itertools.islice(recurrence.events(spec, NOW), 102))
    assert time.process_time() - began < 1
    assert [type(each) for each in found] == [Skip] * 101 + [recurrence.Occurrence]
    together = found[100]
    assert isinstance(together, Skip)
    assert together.until == found[101].nominal == datetime.datetime(2028, 3, 1, tzinfo=datetime.UTC)


def test_the_last_of_many_is_found_without_counting_them() -> None:
    began = time.process_time()
    found = recurrence.last_between(Spec(cron="* * * * * *"), NOW, NOW + 300 * DAY)
    assert found is not None
    assert found.nominal == NOW + 300 * DAY
    assert time.process_time() - began < 1


WRONG: dict[str, tuple[Spec, str, str]] = {
    "no rule": (Spec(), "cron", "is required, unless an interval is given"),
    "two rules": (Spec(cron="@daily", interval=HOUR), "interval", "must not be given together with cron"),
    "four fields": (Spec(cron="* * * *"), "cron", "has 4 fields, not 5"),
    "hour 25": (Spec(cron="0 25 * * *"), "cron", "the hour is wrong: it is 0 to 23"),
    "15W": (Spec(cron="0 0 15W * *"), "cron", "the day-of-month is wrong: it is 1 to 31"),
    "February 30": (Spec(cron="0 0 30 2 *"), "cron", "never matches: there is no such date"),
    "an unknown name": (Spec(cron="@fortnightly"), "cron", "or one of @yearly"),
    "half a second": (Spec(interval=HOUR / 7200), "interval", "must be from 1 s to 3653 days"),
    "an anchor without an interval": (Spec(cron="@daily", anchor=NOW), "anchor", "is for an interval"),
    "an unknown zone": (
        Spec(cron="@daily", time_zone="Europe/Lisboa"),
        "time_zone",
        "'Europe/Lisboa' is not a time zone; did you mean Europe/Lisbon",
    ),
    "a city": (Spec(cron="@daily", time_zone="New York"), "time_zone", "America/New_York"),
    "a path": (Spec(cron="@daily", time_zone="../etc/passwd"), "time_zone", "is not a time zone"),
    "an end before the start": (
        Spec(cron="@daily", start_time=NOW + DAY, end_time=NOW),
        "end_time",
        "must not be before start_time",
    ),
    "an end that is past": (Spec(cron="@daily", end_time=NOW - DAY), "end_time", "must not be past"),
    "an end before the first": (Spec(cron="@daily", end_time=NOW + HOUR), "end_time", "comes before the first"),
    "jitter as wide as the interval": (Spec(interval=HOUR, jitter=HOUR), "jitter", "must be shorter than the interval"),
    "jitter wider than the time between": (
        Spec(cron="*/5 * * * *", jitter=HOUR / 10),
        "jitter",
        "shorter than the time between occurrences, which may be 300 s",
    ),
    "negative jitter": (Spec(cron="@daily", jitter=-HOUR), "jitter", "must not be negative"),
    "an empty blackout": (Spec(cron="@daily", blackouts=(Blackout(),)), "blackouts[0].from_time", "is required"),
    "half a blackout": (
        Spec(cron="@daily", blackouts=(Blackout(days=frozenset({1}), from_time=datetime.time(1)),)),
        "blackouts[0].until_time",
        "is required",
    ),
    "dates in the wrong order": (
        Spec(
            cron="@daily",
            blackouts=(NIGHT, Blackout(first_date=datetime.date(2027, 3, 2), last_date=datetime.date(2027, 3, 1))),
        ),
        "blackouts[1].last_date",
        "must not be before first_date",
    ),
    "blackouts that leave nothing": (
        Spec(
            cron="* * * * * *",
            blackouts=(Blackout(frozenset(range(7)), datetime.time(0), datetime.time(0)),),
        ),
        "blackouts",
        "leave nothing",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_invalid_field_is_named_with_what_would_be_right(wrong: str) -> None:
    spec, field, right = WRONG[wrong]
    began = time.process_time()
    (problem,) = recurrence.problems(spec, NOW)
    assert time.process_time() - began < 2
    assert problem.field == field
    assert right in problem.description


def test_a_right_spec_has_no_problems() -> None:
    spec = Spec(cron="0 9 * * mon", time_zone="Europe/Lisbon", jitter=HOUR, blackouts=(NIGHT,), end_time=NOW + 30 * DAY)
    assert recurrence.problems(spec, NOW) == []
