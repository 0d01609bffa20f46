"""Dates at the ends of the calendar are as none, or refused by name; no arithmetic overflows."""

import dataclasses
import datetime
import itertools

import hypothesis
import pytest
from hypothesis import strategies

from duetime_core.model import recurrence
from duetime_core.model.recurrence import Blackout, BlackoutBehavior, Spec, zones

NOW = datetime.datetime(2027, 3, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
MICROSECOND = datetime.timedelta(microseconds=1)
FIRST = datetime.datetime.min.replace(tzinfo=datetime.UTC)
LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)
NEAR = strategies.one_of(
    strategies.just(datetime.timedelta(0)),
    strategies.timedeltas(datetime.timedelta(0), 3 * DAY),
    strategies.timedeltas(datetime.timedelta(0), 4_000 * DAY),
)
MOMENTS = strategies.one_of(
    NEAR.map(lambda span: FIRST + span), NEAR.map(lambda span: LAST - span), strategies.just(NOW)
)
CRONS = ("* * * * * *", "*/5 * * * *", "0 0 * * *", "30 1 1 1 *", "0 0 29 2 */7", "59 23 31 12 *")
DATES = MOMENTS.map(datetime.datetime.date)
RULES = strategies.one_of(
    strategies.sampled_from(CRONS).map(lambda cron: {"cron": cron}),
    strategies.sampled_from([datetime.timedelta(seconds=1), DAY, 3_653 * DAY]).map(lambda span: {"interval": span}),
)
BLACKOUTS = strategies.one_of(
    strategies.tuples(DATES, DATES, strategies.sampled_from(BlackoutBehavior)).map(
        lambda drawn: Blackout(first_date=min(drawn[:2]), last_date=max(drawn[:2]), behavior=drawn[2])
    ),
    strategies.sampled_from(BlackoutBehavior).map(
        lambda behavior: Blackout(frozenset(range(7)), datetime.time(22), datetime.time(6), behavior=behavior)
    ),
)
SETTINGS = hypothesis.settings(max_examples=400, deadline=None, database=None, derandomize=True)


@SETTINGS
@hypothesis.given(
    RULES,
    strategies.sampled_from(sorted(zones.names())),
    strategies.fixed_dictionaries({"start_time": strategies.none() | MOMENTS, "end_time": strategies.none() | MOMENTS}),
    MOMENTS,
    strategies.lists(BLACKOUTS, max_size=2),
    strategies.sampled_from([datetime.timedelta(0), MICROSECOND, DAY / 25, 3_000 * DAY]),
)
def test_no_time_of_a_rule_overflows(
    rule: dict[str, object],
    zone: str,
    bounds: dict[str, datetime.datetime],
    anchor: datetime.datetime,
    blackouts: list[Blackout],
    jitter: datetime.timedelta,
) -> None:
    given: dict[str, object] = {**rule, **bounds, **({"anchor": anchor} if "interval" in rule else {})}
    spec = Spec(**given, time_zone=zone, blackouts=tuple(blackouts), jitter=jitter)  # type: ignore[arg-type]
    problems = recurrence.problems(spec, NOW)
    assert {problem.field for problem in problems} <= {"start_time", "end_time", "blackouts", "jitter"}
    for after in (NOW, anchor, recurrence.just_before(anchor)):
        try:
            found = list(itertools.islice(recurrence.events(spec, after), 110))
            recurrence.last_between(spec, after, max(after, spec.end_time or NOW))
        except recurrence.TooManyStepsError:
            continue
        due = [each.due for each in found if isinstance(each, recurrence.Occurrence)]
        assert all(spec.end_time is None or each <= spec.end_time for each in due)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati"])
@pytest.mark.parametrize("rule", [Spec(cron="30 9 * * *"), Spec(interval=DAY)])
def test_a_start_that_is_not_set_and_an_end_that_never_comes_change_nothing(rule: Spec, zone: str) -> None:
    plain = dataclasses.replace(rule, time_zone=zone)
    bounded = dataclasses.replace(plain, start_time=FIRST, end_time=LAST)
    assert recurrence.problems(bounded, NOW) == []
    first = list(itertools.islice(recurrence.occurrences(plain, NOW), 3))
    assert list(itertools.islice(recurrence.occurrences(bounded, NOW), 3)) == first


@pytest.mark.parametrize(
    "rule", [Spec(cron="* * * * *"), Spec(interval=DAY), Spec(cron="0 0 1 1 *", time_zone="Asia/Tokyo")]
)
def test_a_start_at_the_end_of_the_calendar_is_refused_by_name(rule: Spec) -> None:
    for start in (LAST, LAST.replace(hour=0, minute=0, second=0, microsecond=0)):
        (problem,) = recurrence.problems(dataclasses.replace(rule, start_time=start), NOW)
        assert problem.field == "start_time"
        assert problem.description.startswith("is too late")
