"""The periods that reports cover."""

import datetime

import pytest

from duetime_core.model import recurrence, statistics
from duetime_worker.builtin.report import period

MONDAY = datetime.datetime(2027, 3, 29, 8, tzinfo=datetime.UTC)  # 09:00 in Lisbon, the day after a DST transition


@pytest.mark.parametrize(
    ("which", "zone", "start", "end"),
    [
        ("last_week", "Europe/Lisbon", "2027-03-22T00:00:00+00:00", "2027-03-29T00:00:00+01:00"),
        ("last_day", "Europe/Lisbon", "2027-03-28T00:00:00+00:00", "2027-03-29T00:00:00+01:00"),
        ("last_week", "Pacific/Kiritimati", "2027-03-22T00:00:00+14:00", "2027-03-29T00:00:00+14:00"),
        ("last_day", "America/New_York", "2027-03-28T00:00:00-04:00", "2027-03-29T00:00:00-04:00"),
    ],
)
def test_the_last_day_and_week_are_calendar_periods(which: str, zone: str, start: str, end: str) -> None:
    found = period.last(which, MONDAY, recurrence.zone(zone))  # type: ignore[arg-type]
    assert (found.start.isoformat(), found.end.isoformat()) == (start, end)


def test_a_day_with_a_skipped_hour_has_23_hours() -> None:
    found = period.last("last_day", MONDAY, recurrence.zone("Europe/Lisbon"))
    assert (found.unit, len(found.buckets())) == ("hour", 23)


def test_a_week_has_seven_days_that_begin_at_midnight() -> None:
    found = period.last("last_week", MONDAY, recurrence.zone("Europe/Lisbon"))
    assert (found.unit, len(found.buckets())) == ("day", 7)
    assert {moment.hour for moment in found.buckets()} == {0}


@pytest.mark.parametrize(
    ("which", "zone", "now"),
    [
        ("last_day", "Europe/Lisbon", "2026-10-26T09:00:00Z"),  # a repeated hour
        ("last_day", "Europe/Lisbon", "2027-03-29T09:00:00Z"),  # a skipped hour
        ("last_week", "America/Havana", "2026-03-09T12:00:00Z"),  # a skipped midnight
    ],
)
def test_no_line_is_lost_around_a_dst_transition(which: str, zone: str, now: str) -> None:
    found = period.last(which, datetime.datetime.fromisoformat(now), recurrence.zone(zone))  # type: ignore[arg-type]
    line = statistics.Line(1, 1, 0, 0, None, None)
    lines = {moment.astimezone(datetime.UTC): line for moment in found.buckets()}
    assert [each for _, each in found.filled(lines)] == [line] * len(found.buckets())


def test_a_day_with_a_repeated_midnight_is_one_day() -> None:
    found = period.last(
        "last_week", datetime.datetime(2026, 11, 2, 12, tzinfo=datetime.UTC), recurrence.zone("America/Havana")
    )
    line = statistics.Line(1, 1, 0, 0, None, None)
    # PostgreSQL takes the second one.
    lines = {datetime.datetime(2026, 11, 1, 5, tzinfo=datetime.UTC): line}
    assert [each for _, each in found.filled(lines)] == [statistics.NOTHING] * 6 + [line]
