"""Whether a due occurrence runs, and which one comes next: decided without a database."""

import datetime
from typing import Any

import pytest

from duetime_core.model import advance, recurrence, schedule
from duetime_core.model.schedule import CatchUp, Overlap

EIGHT = datetime.datetime(2027, 3, 1, 8, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
SECOND = datetime.timedelta(seconds=1)


def hourly(spec: dict[str, Any] | None = None, **changes: Any) -> schedule.Schedule:
    given = {
        "schedule_id": 7,
        "name": "hourly",
        "spec": recurrence.Spec(**(spec or {"cron": "0 * * * *"})),
        "template": schedule.Template("noop"),
        "overlap": Overlap.ALLOW,
        "catch_up": CatchUp.LAST,
        "catch_up_window": None,
        "is_paused": False,
        "last_nominal_time": EIGHT - HOUR,
        "zone_version": "2027a",
        "version": 1,
        "created_at": EIGHT,
        "updated_at": EIGHT,
        "request_id": None,
    }
    return schedule.Schedule(**{**given, **changes})


def at(hour: float, **changes: Any) -> advance.Due:
    moment = EIGHT + (hour - 8) * HOUR
    return advance.Due(moment, moment, **{"execution_time": moment, **changes})


def hours(decided: advance.Advance) -> list[float]:
    return [8 + (skip.nominal - EIGHT) / HOUR for skip in decided.skips]


def next_hour(decided: advance.Advance) -> float:
    assert decided.next is not None
    return 8 + (decided.next.nominal - EIGHT) / HOUR


def test_one_that_is_due_runs_and_the_one_after_it_is_next() -> None:
    decided = advance.plan(hourly(), at(8), EIGHT + SECOND)
    assert (decided.reason, decided.skips, next_hour(decided), decided.last_nominal) == (None, [], 9, EIGHT)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_less_than_a_minute_late_is_on_time(catch_up: CatchUp) -> None:
    each_second = hourly({"cron": "* * * * * *"}, catch_up=catch_up)
    decided = advance.plan(each_second, at(8), EIGHT + 59 * SECOND)
    assert (decided.reason, decided.skips) == (None, [])
    assert decided.next == recurrence.Occurrence(EIGHT + SECOND, EIGHT + SECOND)


def test_after_downtime_the_last_one_runs() -> None:
    now = EIGHT + 3.5 * HOUR
    decided = advance.plan(hourly(), at(8), now)
    assert decided.reason is not None
    assert (hours(decided), next_hour(decided)) == ([8, 9, 10], 11)
    last = advance.plan(hourly(), at(11), now)
    assert (last.reason, last.skips, next_hour(last)) == (None, [], 12)


def test_one_that_is_due_right_now_is_the_last_one() -> None:
    now = EIGHT + 3 * HOUR + SECOND
    decided = advance.plan(hourly(), at(8), now)
    assert (hours(decided), next_hour(decided)) == ([8, 9, 10], 11)


def test_after_downtime_each_one_runs_if_all_are_to_be_caught_up_with() -> None:
    decided = advance.plan(hourly(catch_up=CatchUp.ALL), at(8), EIGHT + 3.5 * HOUR)
    assert (decided.reason, decided.skips, next_hour(decided)) == (None, [], 9)


def test_after_downtime_none_runs_if_none_is_to_be_caught_up_with() -> None:
    decided = advance.plan(hourly(catch_up=CatchUp.NONE), at(8), EIGHT + 3.5 * HOUR)
    assert decided.reason == "it was more than a minute late, and catch_up is none"
    assert (hours(decided), next_hour(decided)) == ([8, 9, 10, 11], 12)


def test_none_does_not_skip_one_that_is_due_just_now() -> None:
    decided = advance.plan(hourly(catch_up=CatchUp.NONE), at(8), EIGHT + 3 * HOUR + SECOND)
    assert (hours(decided), next_hour(decided)) == ([8, 9, 10], 11)


def test_an_occurrence_later_than_the_window_is_skipped() -> None:
    both = hourly(catch_up=CatchUp.ALL, catch_up_window=2 * HOUR)
    decided = advance.plan(both, at(8), EIGHT + 3.5 * HOUR)
    assert decided.reason == "it was later than catch_up_window"
    assert (hours(decided), next_hour(decided)) == ([8, 9], 10)
    daily = hourly({"cron": "0 8 * * *"}, catch_up_window=2 * HOUR)
    missed = advance.plan(daily, at(8), EIGHT + 3.5 * HOUR)
    assert (hours(missed), next_hour(missed)) == ([8], 32)


@pytest.mark.parametrize("catch_up", [CatchUp.LAST, CatchUp.NONE])
def test_millions_of_missed_times_are_logged_once(catch_up: CatchUp) -> None:
    each_second = hourly({"cron": "* * * * * *"}, catch_up=catch_up)
    now = EIGHT + 30 * 24 * HOUR
    decided = advance.plan(each_second, at(8), now)
    (skip,) = decided.skips
    assert (skip.nominal, skip.until) == (EIGHT, now - 61 * SECOND)
    assert decided.next is not None
    assert decided.next.nominal == now - 60 * SECOND


def test_an_overlapping_one_is_skipped_with_all_that_are_due() -> None:
    decided = advance.plan(hourly(overlap=Overlap.SKIP), at(8, is_overlapped=True), EIGHT + 2.5 * HOUR)
    assert (hours(decided), next_hour(decided)) == ([8, 9, 10], 11)
    assert {skip.reason for skip in decided.skips} == {"an earlier run had not ended, and overlap is skip"}


def test_overlapping_ones_run_if_that_is_allowed() -> None:
    assert advance.plan(hourly(), at(8, is_overlapped=True), EIGHT + SECOND).reason is None


def test_one_that_waited_runs_and_those_that_came_meanwhile_are_skipped() -> None:
    decided = advance.plan(hourly(overlap=Overlap.QUEUE), at(8, is_waiting=True), EIGHT + 2.5 * HOUR)
    assert (decided.reason, hours(decided), next_hour(decided)) == (None, [9, 10], 11)


def test_one_whose_task_a_caller_cancelled_is_skipped_alone() -> None:
    decided = advance.plan(hourly(), at(8, is_refused=True), EIGHT + 2.5 * HOUR)
    assert (decided.reason, hours(decided), next_hour(decided)) == ("a caller cancelled its task", [8], 9)


def test_a_schedule_that_ends_has_no_next_one() -> None:
    ends = hourly({"cron": "0 * * * *", "end_time": EIGHT + HOUR / 2})
    assert advance.plan(ends, at(8), EIGHT + SECOND).next is None


def test_blackouts_before_the_next_occurrence_are_logged() -> None:
    night = recurrence.Blackout(frozenset(range(7)), datetime.time(9), datetime.time(11))
    decided = advance.plan(hourly({"cron": "0 * * * *", "blackouts": (night,)}), at(8), EIGHT + SECOND)
    assert (decided.reason, hours(decided), next_hour(decided)) == (None, [9, 10], 11)


@pytest.mark.parametrize("catch_up", [CatchUp.LAST, CatchUp.NONE])
def test_blackouts_during_a_downtime_are_logged_too(catch_up: CatchUp) -> None:
    lunch = recurrence.Blackout(frozenset(range(7)), datetime.time(10), datetime.time(12))
    with_lunch = hourly({"cron": "0 * * * *", "blackouts": (lunch,)}, catch_up=catch_up)
    decided = advance.plan(with_lunch, at(8), EIGHT + 6.5 * HOUR)
    reasons = {8 + (skip.nominal - EIGHT) / HOUR: skip.reason for skip in decided.skips}
    missed = [8, 9, 12, 13] if catch_up is CatchUp.LAST else [8, 9, 12, 13, 14]
    assert list(reasons) == sorted([*missed, 10, 11])
    assert {reasons[10], reasons[11]} == {"it is in a blackout"}
    assert all("catch_up" in reasons[hour] for hour in missed)
    # Each nominal time has a task or a line, and none has two.
    assert next_hour(decided) == max(reasons) + 1


def test_occurrences_in_a_blackout_are_counted_in_the_log_row_of_several() -> None:
    night = recurrence.Blackout(frozenset(range(7)), datetime.time(20), datetime.time(6))
    each_minute = hourly({"cron": "* * * * *", "blackouts": (night,)})
    now = EIGHT + 23 * HOUR
    (skip,) = advance.plan(each_minute, at(8), now).skips
    assert (skip.nominal, skip.until) == (EIGHT, now - 60 * SECOND - 60 * SECOND)
    # The last two hours before now are those after a night.
    in_the_night = advance.plan(each_minute, at(8), EIGHT + 15 * HOUR)
    (skip,) = in_the_night.skips
    assert skip.until < EIGHT + 12 * HOUR
    none = advance.plan(
        hourly({"cron": "* * * * *", "blackouts": (night,)}, catch_up=CatchUp.NONE), at(8), EIGHT + 15 * HOUR
    )
    skip = none.skips[0]
    assert "it is in a blackout" in skip.reason
    assert EIGHT + 14 * HOUR < skip.until < EIGHT + 15 * HOUR - 60 * SECOND
    assert none.next is not None
    assert none.next.nominal == EIGHT + 22 * HOUR


def test_the_last_of_the_missed_is_found_among_uneven_ones_without_counting_them() -> None:
    # Each second of one day of the year: 86,400 in a row, months ago.
    burst = hourly({"cron": "* * * 1 3 *"})
    decided = advance.plan(burst, at(8), EIGHT + 200 * 24 * HOUR)
    assert decided.next is not None
    assert decided.next.nominal == datetime.datetime(2027, 3, 1, 23, 59, 59, tzinfo=datetime.UTC)


def test_a_stored_rule_whose_next_time_takes_too_many_steps_runs_and_is_over() -> None:
    always = recurrence.Blackout(frozenset(range(7)), datetime.time(2), datetime.time(5))
    stored = hourly({"cron": "0 3 * * *", "blackouts": (always,)})
    for late in (SECOND, 400 * 24 * HOUR):
        decided = advance.plan(stored, at(8), EIGHT + late)
        assert (decided.reason, decided.next) == (None, None)
        together, given_up = decided.skips
        assert together.reason == "it is in a blackout"
        assert together.until > together.nominal + 900 * 24 * HOUR
        assert "found no later occurrence" in given_up.reason


def test_one_that_is_not_due_by_its_rule_is_left() -> None:
    decided = advance.plan(hourly(), at(8), EIGHT - SECOND)
    assert (decided.verdict, decided.skips, decided.next) == (advance.Verdict.LATER, [], None)
    refused = at(8, is_refused=True, execution_time=EIGHT - HOUR)
    assert advance.plan(hourly(), refused, EIGHT - SECOND).verdict is advance.Verdict.LATER


def test_one_that_a_caller_moved_forward_runs_early_and_keeps_its_nominal_time() -> None:
    decided = advance.plan(hourly(), at(8, execution_time=EIGHT - HOUR / 2), EIGHT - HOUR / 3)
    assert (decided.verdict, decided.last_nominal, next_hour(decided)) == (advance.Verdict.RUNS, EIGHT, 9)


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("catch_up", CatchUp)
def test_one_that_a_caller_postponed_is_neither_missed_nor_skipped(overlap: Overlap, catch_up: CatchUp) -> None:
    postponed = at(8, execution_time=EIGHT + 5 * HOUR, is_overlapped=True)
    decided = advance.plan(hourly(overlap=overlap, catch_up=catch_up), postponed, EIGHT + 2.5 * HOUR)
    assert (decided.verdict, decided.skips, next_hour(decided)) == (advance.Verdict.RUNS, [], 9)


def test_while_one_waits_the_rule_continues_and_skips() -> None:
    waits = hourly(overlap=Overlap.QUEUE)
    first = advance.plan(waits, at(8, is_overlapped=True), EIGHT + SECOND)
    assert (first.verdict, first.skips, next_hour(first)) == (advance.Verdict.WAITS, [], 9)
    later = advance.plan(waits, at(8, is_overlapped=True, is_waiting=True), EIGHT + HOUR)
    assert (later.verdict, hours(later), next_hour(later)) == (advance.Verdict.WAITS, [9], 10)
    assert later.last_nominal == EIGHT + HOUR
    waited = hourly(overlap=Overlap.QUEUE, last_nominal_time=later.last_nominal)
    released = advance.plan(waited, at(8, is_waiting=True), EIGHT + 1.5 * HOUR)
    assert (released.verdict, released.skips, next_hour(released)) == (advance.Verdict.RUNS, [], 10)


@pytest.mark.parametrize(("overlap", "verdict"), [("allow", "RUNS"), ("skip", "IS_SKIPPED")])
def test_one_that_waited_follows_the_policy_that_was_changed(overlap: str, verdict: str) -> None:
    changed = hourly(overlap=Overlap(overlap), catch_up=CatchUp.NONE)
    decided = advance.plan(changed, at(8, is_waiting=True, is_overlapped=True), EIGHT + 2.5 * HOUR)
    assert decided.verdict is advance.Verdict[verdict]


def test_taken_times_are_passed_over_and_a_long_search_is_continued() -> None:
    spec = recurrence.Spec(cron="0 * * * *")
    taken = {EIGHT, EIGHT + HOUR}
    found = advance.first(spec, EIGHT - HOUR, "7", taken=taken)
    assert found.next == recurrence.Occurrence(EIGHT + 2 * HOUR, EIGHT + 2 * HOUR)
    unfinished = advance.first(spec, EIGHT - HOUR, "7", taken=taken, taken_until=EIGHT + HOUR)
    assert (unfinished.next, unfinished.continues_after) == (None, EIGHT + HOUR)
