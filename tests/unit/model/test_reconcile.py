"""What becomes of a schedule's next occurrence when the schedule changes: decided without a database."""

import dataclasses
import datetime
from typing import Any

from duetime_core.model import reconcile, recurrence
from tests.unit.model.test_advance import EIGHT, HOUR, hourly

CHANGED = "the schedule was changed before it ran"
MINUTE = datetime.timedelta(minutes=1)


def at(hour: float) -> datetime.datetime:
    return EIGHT + (hour - 8) * HOUR


def standing(hour: float, **changes: Any) -> reconcile.Standing:
    return reconcile.Standing(at(hour), **changes)


def reconciled(
    spec: dict[str, Any] | None, stands: reconcile.Standing | None, now: float, **changes: Any
) -> reconcile.Reconciled:
    """Reconciles an hourly schedule with another rule, or with the same if there is none."""
    taken = changes.pop("taken", ())
    before = hourly(**{"advance_at": EIGHT, **changes})
    after = before if spec is None else dataclasses.replace(before, spec=recurrence.Spec(**spec))
    return reconcile.reconcile(before, after, stands, at(now), taken=taken)


def following(decided: reconcile.Reconciled) -> float:
    assert decided.stays is None
    assert decided.following.next is not None
    return 8 + (decided.following.next.nominal - EIGHT) / HOUR


def skips(decided: reconcile.Reconciled) -> dict[float, str]:
    return {8 + (skip.nominal - EIGHT) / HOUR: skip.reason for skip in decided.skips}


def test_one_that_is_to_come_stays_if_the_rule_gives_it() -> None:
    decided = reconciled(None, standing(8), 7.5)
    assert decided.stays == recurrence.Occurrence(EIGHT, EIGHT)
    assert decided.skips == []


def test_one_whose_time_has_passed_stays_and_those_after_it_are_not_forgotten() -> None:
    decided = reconciled(None, standing(8), 10.5)
    assert decided.stays == recurrence.Occurrence(EIGHT, EIGHT)
    # Nine and ten are missed, and decided by the next advance.
    assert (decided.skips, decided.last_nominal) == ([], at(7))


def test_a_new_rule_that_still_gives_it_keeps_it_and_logs_what_the_old_one_gave_since() -> None:
    decided = reconciled({"cron": "0 8 * * *"}, standing(8), 10.5)
    assert decided.stays == recurrence.Occurrence(EIGHT, EIGHT)
    assert skips(decided) == {9: CHANGED, 10: CHANGED}
    assert decided.last_nominal == at(10.5)


def test_a_new_rule_that_does_not_give_it_logs_it_and_counts_from_now() -> None:
    overdue = reconciled({"cron": "30 * * * *"}, standing(8), 10.25)
    assert (skips(overdue), following(overdue)) == ({8: CHANGED, 9: CHANGED, 10: CHANGED}, 10.5)
    to_come = reconciled({"cron": "30 * * * *"}, standing(9), 8.25)
    assert (skips(to_come), following(to_come)) == ({9: CHANGED}, 8.5)


def test_an_earlier_occurrence_of_the_new_rule_comes_first_and_the_standing_one_later() -> None:
    decided = reconciled({"cron": "*/30 * * * *"}, standing(9), 8.25)
    assert (skips(decided), following(decided), decided.is_given) == ({}, 8.5, True)


def test_a_refused_one_stays_refused_or_is_logged() -> None:
    refused = standing(9, is_refused=True)
    assert reconciled(None, refused, 8.5).stays == recurrence.Occurrence(at(9), at(9))
    earlier = reconciled({"cron": "*/30 * * * *"}, refused, 8.25)
    assert (skips(earlier), following(earlier)) == ({9: "a caller cancelled its task"}, 8.5)


def test_counting_starts_now_although_the_clock_was_ahead() -> None:
    ahead = reconciled(None, standing(33), 8.5, last_nominal_time=at(32))
    assert (following(ahead), ahead.last_nominal) == (9, at(8.5))
    resumed = reconciled(None, None, 8.5, last_nominal_time=at(32), is_paused=True)
    assert following(resumed) == 9


def test_nominal_times_that_have_a_task_are_passed_over() -> None:
    decided = reconciled(None, None, 8.5, is_paused=True, taken={at(9), at(10)})
    assert following(decided) == 11


def test_a_search_that_was_not_finished_is_continued_where_it_ended() -> None:
    decided = reconciled(None, None, 12.5, last_nominal_time=at(9))
    assert following(decided) == 10


def test_what_has_passed_is_logged_when_the_schedule_is_paused() -> None:
    before = hourly()
    assert reconcile.withdraw(before, standing(9), at(8.5), "why") == []
    logged = reconcile.withdraw(before, standing(8), at(9.5), "why")
    assert [(skip.nominal, skip.reason) for skip in logged] == [(at(8), "why"), (at(9), "why")]
    (refused,) = reconcile.withdraw(before, standing(9, is_refused=True), at(8.5), "why")
    assert (refused.nominal, refused.reason) == (at(9), "a caller cancelled its task")


def test_a_jittered_or_moved_one_whose_nominal_time_has_passed_stays_until_it_is_due() -> None:
    spec = {"cron": "0 8 * * *", "jitter": 2 * HOUR}
    before = hourly(spec)
    decided = reconcile.reconcile(before, before, standing(8), EIGHT + MINUTE)
    assert decided.stays is not None
    assert decided.stays.nominal == EIGHT
    assert EIGHT < decided.stays.due < EIGHT + 2 * HOUR
