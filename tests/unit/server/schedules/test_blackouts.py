"""Blackouts are read from protobuf, and written as they are read."""

import datetime
from typing import Any

import pytest

from duetime.v1 import schedule_pb2
from duetime_core.model import errors, recurrence
from duetime_server.rpc import violations
from duetime_server.schedules import blackouts

MIDNIGHT = datetime.time()


def read(**fields: Any) -> recurrence.Blackout:
    problems = violations.Violations()
    (found,) = blackouts.read([schedule_pb2.Blackout(**fields)], problems)
    problems.check()
    return found


@pytest.mark.parametrize(
    ("days", "numbers"),
    [(["mon"], {0}), (["Monday,tue"], {0, 1}), (["sat-mon"], {5, 6, 0}), (["fri", "fri-fri"], {4})],
)
def test_days_are_names_and_ranges(days: list[str], numbers: set[int]) -> None:
    assert read(days=days) == recurrence.Blackout(frozenset(numbers), MIDNIGHT, MIDNIGHT)


def test_a_blackout_without_days_is_daily_and_one_of_a_date_lasts_that_date() -> None:
    nightly = read(from_time="22:00", until_time="24:00")
    assert (nightly.days, nightly.from_time, nightly.until_time) == (frozenset(range(7)), datetime.time(22), MIDNIGHT)
    dated = read(first_date="2027-12-24")
    assert (dated.first_date, dated.last_date) == (datetime.date(2027, 12, 24), datetime.date(2027, 12, 24))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"days": ["mo"]}, "days: must be one of monday, .*, or a range such as mon-fri, not 'mo'"),
        ({"days": ["mon"] * 101}, "days: must be at most 100; there are 101"),
        ({"from_time": "24:00"}, "from_time: must be a time of day such as 22:00, not '24:00'"),
        ({"until_time": "noon"}, "until_time: must be a time of day .*; a day may end at 24:00"),
        ({"last_date": "24.12."}, "last_date: must be a date such as 2027-12-24, not '24.12.'"),
    ],
)
def test_an_invalid_field_is_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=rf"blackouts\[0\].{problem}"):
        read(**fields)


def test_a_blackout_is_written_as_it_is_read() -> None:
    found = read(days=["mon-fri"], from_time="22:00", until_time="06:00")
    written = blackouts.write(found)
    problems = violations.Violations()
    assert blackouts.read([written], problems) == (found,)
    problems.check()
