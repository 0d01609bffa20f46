"""Next times equal those of an independent brute force, over random rules, zones and moments."""

import datetime
import itertools

import hypothesis
from hypothesis import strategies

from duetime_core.model import recurrence
from duetime_core.model.recurrence import zones
from tests.unit.model.recurrence import oracle
from tests.unit.model.recurrence.rules import EXPRESSIONS, moments

SETTINGS = hypothesis.settings(max_examples=150, deadline=None, database=None, derandomize=True)


@SETTINGS
@hypothesis.given(
    EXPRESSIONS,
    moments(),
    strategies.sampled_from(recurrence.MissingTime),
    strategies.sampled_from(recurrence.RepeatedTime),
)
def test_next_times_equal_those_of_every_minute_looked_at(
    expression: str,
    moment: tuple[str, datetime.datetime],
    missing: recurrence.MissingTime,
    repeated: recurrence.RepeatedTime,
) -> None:
    name, after = moment
    until = after + datetime.timedelta(days=2)
    spec = recurrence.Spec(cron=expression, time_zone=name, missing_time=missing, repeated_time=repeated)
    found = itertools.takewhile(lambda each: each.nominal <= until, recurrence.occurrences(spec, after))
    expected = oracle.due(expression, zones.zone(name), after, until, missing, repeated)
    assert [each.nominal for each in found] == expected


@SETTINGS
@hypothesis.given(EXPRESSIONS, moments(), strategies.sampled_from(recurrence.RepeatedTime))
def test_no_occurrence_is_lost_or_doubled_where_the_search_resumes(
    expression: str, moment: tuple[str, datetime.datetime], repeated: recurrence.RepeatedTime
) -> None:
    name, after = moment
    spec = recurrence.Spec(cron=expression, time_zone=name, repeated_time=repeated)
    at_once = [each.nominal for each in itertools.islice(recurrence.occurrences(spec, after), 40)]
    assert at_once == sorted(set(at_once))
    resumed = []
    for _ in at_once:
        after = next(recurrence.occurrences(spec, after)).nominal
        resumed.append(after)
    assert resumed == at_once


@SETTINGS
@hypothesis.given(EXPRESSIONS, moments(), strategies.integers(0, 3 * 86_400))
def test_the_last_one_is_the_last_of_all(expression: str, moment: tuple[str, datetime.datetime], seconds: int) -> None:
    name, after = moment
    spec = recurrence.Spec(cron=expression, time_zone=name)
    until = after + datetime.timedelta(seconds=seconds)
    listed = list(itertools.takewhile(lambda each: each.nominal <= until, recurrence.occurrences(spec, after)))
    assert recurrence.last_between(spec, after, until) == (listed[-1] if listed else None)


@SETTINGS
@hypothesis.given(moments(), strategies.integers(1, 10**6), strategies.integers(-(10**9), 10**9))
def test_intervals_count_elapsed_time_from_their_anchor(
    moment: tuple[str, datetime.datetime], seconds: int, offset: int
) -> None:
    name, after = moment
    anchor = after + datetime.timedelta(seconds=offset)
    spec = recurrence.Spec(interval=datetime.timedelta(seconds=seconds), anchor=anchor, time_zone=name)
    first, second = itertools.islice(recurrence.occurrences(spec, after), 2)
    assert after < first.nominal <= after + datetime.timedelta(seconds=seconds)
    assert (first.nominal - anchor) % datetime.timedelta(seconds=seconds) == datetime.timedelta(0)
    assert (second.nominal - first.nominal).total_seconds() == seconds
