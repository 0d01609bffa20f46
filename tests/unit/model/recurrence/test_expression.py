"""The search finds the times that cronsim finds by its own, which was written apart from this."""

import datetime
import itertools

import cronsim
import hypothesis
import pytest
from hypothesis import strategies

from duetime_core.model.recurrence import expression
from tests.unit.model.recurrence import fields

SETTINGS = hypothesis.settings(max_examples=200, deadline=None, database=None, derandomize=True)
SINCE = datetime.datetime(2027, 2, 27, 22, 58, 57)  # noqa: DTZ001 - local times are naive
MOMENTS = strategies.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2100, 1, 1))  # noqa: DTZ001


def by_cronsim(text: str, since: datetime.datetime, count: int) -> list[datetime.datetime]:
    # It begins with the second after the one that it is given.
    found = cronsim.CronSim(text, since.replace(microsecond=0) - datetime.timedelta(microseconds=1))
    return list(itertools.islice(found, count))


@SETTINGS
@hypothesis.given(fields.EXPRESSIONS, MOMENTS)
def test_the_next_times_are_those_of_cronsim(text: str, since: datetime.datetime) -> None:
    try:
        expected = by_cronsim(text, since, 10)
    except cronsim.CronSimError:  # there is no such date
        expected = []
    assert list(itertools.islice(expression.read(text).times(since), len(expected) or 1)) == expected


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("0 9 * * sat-sun", "0 9 * * 0,6"),
        ("0 9 * * mon-sun", "0 9 * * *"),
        ("0 9 * * FRI-MON", "0 9 * * 0,1,5,6"),
        ("0 9 * * 6-2", "0 9 * * 0,1,2,6"),
        ("0 9 * * fri-mon/2", "0 9 * * 5,0"),
        ("0 9 * * 7-2/2", "0 9 * * 0,2"),
        ("0 9 5-5/2 * *", "0 9 5 * *"),
        ("0 9 5-05/2 * *", "0 9 5 * *"),
        ("0 9 * jan-1/2 *", "0 9 * 1 *"),
        ("0 9 * * sun-0/2", "0 9 * * 0"),
        ("0 0 12 ? * MON-FRI", "0 12 * * 1-5"),
        ("0 0 12 * * ?", "0 12 * * *"),
        ("0 12 ? * *", "0 12 * * *"),
        ("0 0 15 * ?", "0 0 15 * *"),
        ("\t0\t9 * * *  ", "0 9 * * *"),
    ],
)
def test_the_syntax_of_other_programs_is_read(text: str, same: str) -> None:
    assert list(itertools.islice(expression.read(text).times(SINCE), 30)) == by_cronsim(same, SINCE, 30)


def test_the_29th_of_february_on_a_weekday_comes_every_28_years_to_the_end_of_the_calendar() -> None:
    found = list(expression.read("0 0 29 2 */7").times(SINCE))
    assert {each.isoweekday() for each in found} == {7}
    assert (found[0].year, found[1].year, found[-1].year) == (2032, 2060, 9976)
