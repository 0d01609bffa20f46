"""Blackouts hold for the time that is used: moved, with jitter, and around DST transitions."""

import dataclasses
import datetime
import itertools
import time

import hypothesis
import pytest
from hypothesis import strategies

from duetime_core.model import recurrence
from duetime_core.model.recurrence import Blackout, BlackoutBehavior, MissingTime, RepeatedTime, Skip, Spec, zones
from duetime_core.model.recurrence.spec import ZERO
from tests.unit.model.recurrence import oracle
from tests.unit.model.recurrence.rules import EXPRESSIONS, blackouts, moments

SETTINGS = hypothesis.settings(max_examples=60, deadline=None, database=None, derandomize=True)
NOW = datetime.datetime(2027, 3, 1, 12, tzinfo=datetime.UTC)  # a Monday
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
MICROSECOND = datetime.timedelta(microseconds=1)
EACH_DAY = frozenset(range(7))


REPEATED = strategies.sampled_from(RepeatedTime)
HALVES = ((0, 12), (12, 0))


def at(hour: int, minute: int = 0) -> datetime.time:
    return datetime.time(hour, minute)


def tenth(number: int) -> datetime.time:
    return at(number // 6, number % 6 * 10)


def each_day(begin: int, end: int, behavior: BlackoutBehavior = BlackoutBehavior.SKIP) -> Blackout:
    return Blackout(EACH_DAY, at(begin), at(end), behavior=behavior)


@SETTINGS
@hypothesis.given(EXPRESSIONS, moments(), REPEATED, strategies.data())
def test_due_times_are_those_of_a_walk_along_the_clock(
    expression: str, moment: tuple[str, datetime.datetime], repeated: RepeatedTime, data: strategies.DataObject
) -> None:
    name, after = moment
    zone = zones.zone(name)
    given = data.draw(blackouts(after.date()))
    end = after + datetime.timedelta(minutes=data.draw(strategies.integers(1, 2_880)))
    spec = Spec(cron=expression, time_zone=name, repeated_time=repeated, blackouts=given, end_time=end)
    nominals = oracle.due(expression, zone, after, end, spec.missing_time, repeated)
    # A long list of the same kind tests nothing more, and the walk is slow.
    end = nominals[29] if len(nominals) > 30 else end
    nominals, spec = nominals[:30], dataclasses.replace(spec, end_time=end)
    expected = [(nominal, oracle.moved(given, zone, nominal)) for nominal in nominals]
    found = [(each.nominal, each.due) for each in recurrence.occurrences(spec, after)]
    assert found == [(nominal, due) for nominal, due in expected if due is not None and due <= end]
    # Each skipped nominal time is reported once, by itself or in a group.
    skips = [each for each in recurrence.events(spec, after) if isinstance(each, Skip)]
    due = {nominal for nominal, _ in found}
    assert {each.nominal for each in skips} | due >= set(nominals)
    assert not {each.nominal for each in skips} & due


@SETTINGS
@hypothesis.given(EXPRESSIONS, moments(), REPEATED, strategies.integers(1, 10**10), strategies.data())
def test_jitter_ends_at_the_end_and_before_the_next_blackout(
    expression: str,
    moment: tuple[str, datetime.datetime],
    repeated: RepeatedTime,
    jitter: int,
    data: strategies.DataObject,
) -> None:
    name, after = moment
    zone = zones.zone(name)
    given = data.draw(blackouts(after.date()))
    spec = Spec(
        cron=expression,
        time_zone=name,
        repeated_time=repeated,
        blackouts=given,
        end_time=after + 2 * DAY,
        jitter=datetime.timedelta(microseconds=jitter),
    )
    for each in itertools.islice(recurrence.occurrences(spec, after, seed="7"), 30):
        moved = oracle.moved(given, zone, each.nominal)
        assert moved is not None
        assert moved <= each.due <= moved + spec.jitter
        assert each.due <= after + 2 * DAY
        # No blackout begins from when it could be due to when it is.
        minute = moved
        while minute <= each.due:
            assert not oracle.held(given, minute.astimezone(zone).replace(tzinfo=None, fold=0))
            minute += oracle.MINUTE


def test_jitter_is_spread_over_what_is_left_of_it() -> None:
    # Half an hour is left before the blackout, and a quarter of an hour before the end.
    night = Spec(cron="30 21 * * *", jitter=HOUR, blackouts=(each_day(22, 6),))
    ends = Spec(cron="45 21 * * *", jitter=HOUR, end_time=NOW.replace(hour=22) + 400 * DAY)
    for spec, longest in ((night, HOUR / 2), (ends, HOUR)):
        delays = [each.due - each.nominal for each in itertools.islice(recurrence.occurrences(spec, NOW), 300)]
        assert max(delays) < longest
        assert max(delays) > 0.9 * longest
    last = list(
        recurrence.occurrences(Spec(cron="45 21 2 3 *", jitter=HOUR, end_time=NOW.replace(day=2, hour=22)), NOW)
    )
    assert len(last) == 1
    assert last[0].due <= NOW.replace(day=2, hour=22)


def test_an_occurrence_moved_past_the_end_is_skipped_with_that_reason() -> None:
    spec = Spec(cron="0 * * * *", blackouts=(each_day(22, 6, BlackoutBehavior.MOVE),), end_time=NOW.replace(hour=23))
    found = list(recurrence.events(spec, NOW.replace(hour=20)))
    assert [(each.nominal.hour, isinstance(each, Skip)) for each in found] == [(21, False), (22, True), (23, True)]
    assert {each.reason for each in found if isinstance(each, Skip)} == {"a blackout would move it past end_time"}
    at_the_end = Spec(cron=spec.cron, blackouts=spec.blackouts, end_time=NOW.replace(day=2, hour=6))
    assert [each.nominal.hour for each in recurrence.occurrences(at_the_end, NOW.replace(hour=22))][:2] == [23, 0]


@pytest.mark.parametrize("repeated", recurrence.RepeatedTime)
def test_a_blackout_that_ends_in_the_repeated_hour_moves_to_its_end(repeated: recurrence.RepeatedTime) -> None:
    # In Lisbon 01:00 to 02:00 comes twice on 31 October 2027: from 00:00 and from 01:00 UTC.
    begin = datetime.datetime(2027, 10, 31, tzinfo=datetime.UTC)
    move = Blackout(EACH_DAY, at(1), at(1, 30), behavior=BlackoutBehavior.MOVE)
    spec = Spec(cron="10 1 * * *", time_zone="Europe/Lisbon", repeated_time=repeated, blackouts=(move,))
    found = itertools.takewhile(lambda each: each.nominal < begin + DAY / 2, recurrence.occurrences(spec, begin))
    first, last = (begin + hour * HOUR + HOUR / 6 for hour in (0, 1))
    expected = {"auto": [first], "first": [first], "last": [last], "both": [first, last]}[repeated]
    assert [(each.nominal, each.due) for each in found] == [(each, each + HOUR / 3) for each in expected]


# The instant at which the clock is set back, the first local time that comes twice, and how long that is.
SET_BACK = {
    "Europe/Lisbon": ("2027-10-31T01:00Z", "2027-10-31T01:00", 60),
    "Australia/Lord_Howe": ("2027-04-03T15:00Z", "2027-04-04T01:30", 30),
    "Antarctica/Troll": ("2027-10-31T01:00Z", "2027-10-31T01:00", 120),
}


@pytest.mark.parametrize("repeated", RepeatedTime)
@pytest.mark.parametrize("name", SET_BACK)
def test_each_blackout_that_ends_around_the_repeated_time_moves_to_the_end_that_the_clock_shows(
    name: str, repeated: RepeatedTime
) -> None:
    instant, first, minutes = SET_BACK[name]
    set_back, local = datetime.datetime.fromisoformat(instant), datetime.datetime.fromisoformat(first)
    zone, begin = zones.zone(name), set_back - 4 * HOUR
    assert (set_back - HOUR).astimezone(zone).utcoffset() != set_back.astimezone(zone).utcoffset()
    nominals = oracle.due("*/10 * * * *", zone, begin, set_back + 4 * HOUR, MissingTime.SHIFT, repeated)
    for number, after_first in enumerate(range(0, minutes + 1, 10)):
        ends = local + after_first * oracle.MINUTE
        for begins in (ends - 20 * oracle.MINUTE, ends - (number + 1) * HOUR):
            move = Blackout(EACH_DAY, begins.time(), ends.time(), behavior=BlackoutBehavior.MOVE)
            spec = Spec(cron="*/10 * * * *", time_zone=name, repeated_time=repeated, blackouts=(move,))
            for jitter in (ZERO, HOUR):
                jittered = recurrence.occurrences(dataclasses.replace(spec, jitter=jitter), begin, seed="7")
                for nominal, found in zip(nominals, jittered, strict=False):
                    due = oracle.moved((move,), zone, nominal)
                    assert due is not None
                    assert found.nominal == nominal
                    assert due <= found.due <= due + jitter
                    assert not oracle.held((move,), found.due.astimezone(zone).replace(tzinfo=None, fold=0))


def test_a_blackout_that_ends_where_the_clock_leaves_time_out_ends_with_the_gap() -> None:
    # In Lisbon the clock goes from 01:00 to 02:00 on 28 March 2027.
    move = Blackout(EACH_DAY, at(0), at(1, 30), behavior=BlackoutBehavior.MOVE)
    spec = Spec(cron="15 0 * * *", time_zone="Europe/Lisbon", blackouts=(move,))
    found = next(recurrence.occurrences(spec, datetime.datetime(2027, 3, 28, tzinfo=datetime.UTC)))
    assert found.due == datetime.datetime(2027, 3, 28, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize("behavior", BlackoutBehavior)
def test_an_open_end_is_the_end_of_all_occurrences(behavior: BlackoutBehavior) -> None:
    ever = Blackout(first_date=datetime.date(2027, 3, 3), last_date=datetime.date.max, behavior=behavior)
    spec = Spec(cron="0 9 * * *", blackouts=(ever,))
    assert recurrence.problems(spec, NOW) == []
    assert [each.nominal.day for each in recurrence.occurrences(spec, NOW)] == [2]
    events = list(recurrence.events(Spec(cron="* * * * * *", blackouts=(ever,)), NOW + 3 * DAY))
    assert [type(each) for each in events] == [Skip] * 101
    (problem,) = recurrence.problems(spec, NOW + DAY)
    assert (problem.field, problem.description) == ("blackouts", "leave nothing: no occurrence lies outside of them")


# Each once kept a server busy for seconds or minutes; those that leave something are legal.
COSTLY: dict[str, tuple[Spec, str | None]] = {
    "two halves of the day": (
        Spec(cron="* * * * *", blackouts=tuple(each_day(a, b, BlackoutBehavior.MOVE) for a, b in HALVES)),
        "leave nothing: together they take the whole week",
    ),
    "fifty times two halves": (
        Spec(cron="* * * * *", blackouts=tuple(each_day(a, b, BlackoutBehavior.MOVE) for a, b in HALVES * 50)),
        "leave nothing: together they take the whole week",
    ),
    "the same of each second, skipped": (
        Spec(cron="* * * * * *", blackouts=tuple(each_day(a, b) for a, b in HALVES * 50)),
        "leave nothing: together they take the whole week",
    ),
    "a rule that always lies in one": (
        Spec(cron="0 3 * * *", time_zone="Europe/Lisbon", blackouts=(each_day(2, 5),)),
        "leave nothing that is found: the search for occurrences ended after 1,000 steps without one",
    ),
    "a rare one that always lies in one": (
        Spec(cron="0 3 29 2 */7", blackouts=(each_day(2, 4, BlackoutBehavior.MOVE), each_day(4, 5))),
        "leave nothing: no occurrence lies outside of them",
    ),
    "a hundred blackouts, one behind the other": (
        Spec(
            cron="* * * * * *",
            blackouts=tuple(
                Blackout(
                    EACH_DAY, at(n // 6, n % 6 * 10), at((n + 1) // 6, (n + 1) % 6 * 10), behavior=BlackoutBehavior.MOVE
                )
                for n in range(100)
            ),
        ),
        None,
    ),
    "a hundred blackouts with minutes between them": (
        Spec(
            cron="* * * * * *",
            time_zone="America/New_York",
            blackouts=tuple(Blackout(EACH_DAY, tenth(n), tenth(n).replace(second=30)) for n in range(100)),
        ),
        None,
    ),
    "one second a week": (
        Spec(
            cron="* * * * * *",
            blackouts=(
                Blackout(frozenset(range(1, 7)), at(0), at(0)),
                Blackout(frozenset({0}), at(0, 0), datetime.time(23, 59, 59)),
            ),
        ),
        None,
    ),
    "each 29 February that is a Sunday": (Spec(cron="0 0 29 2 */7"), None),
    "the longest list": (Spec(cron=f"{'0,' * 120}0 * * * *"), None),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_rule_is_answered_at_once(name: str) -> None:
    spec, wrong = COSTLY[name]
    began = time.process_time()
    problems = recurrence.problems(spec, NOW)
    assert [problem.description for problem in problems] == ([] if wrong is None else [wrong])
    if wrong is None:
        assert len(list(itertools.islice(recurrence.occurrences(spec, NOW), 1_000))) >= 250
        assert recurrence.last_between(spec, NOW, NOW + 20_000 * DAY) is not None
    assert time.process_time() - began < 0.5


def test_seconds_of_the_day_on_which_the_clock_is_set_back_cost_no_more_than_others() -> None:
    # Moved from one blackout to the next, nearly a hundred times, and skipped in the last.
    moves = tuple(Blackout(EACH_DAY, tenth(n), tenth(n + 1), behavior=BlackoutBehavior.MOVE) for n in range(44, 143))
    last = Blackout(EACH_DAY, at(23, 50), at(0))
    spec = Spec(cron="* * * * 11 0#1", time_zone="America/New_York", blackouts=(*moves, last))
    began = time.process_time()
    assert recurrence.problems(spec, NOW) == []
    first = next(recurrence.occurrences(spec, datetime.datetime(2027, 11, 7, 12, 20, tzinfo=datetime.UTC)))
    assert first.nominal == datetime.datetime(2028, 11, 5, 4, tzinfo=datetime.UTC)
    assert time.process_time() - began < 0.5


def test_a_search_ends_after_the_same_steps_on_every_machine() -> None:
    spec = Spec(cron="0 3 * * *", blackouts=(each_day(2, 5),))
    with pytest.raises(recurrence.TooManyStepsError, match="after 1,000 steps"):
        next(recurrence.occurrences(spec, NOW))
    # Each step is one nominal time, in order; at the same one it ends again.
    found = recurrence.events(spec, NOW)
    assert len(list(itertools.islice(found, 1_000))) == 1_000
    with pytest.raises(recurrence.TooManyStepsError):
        next(found)
