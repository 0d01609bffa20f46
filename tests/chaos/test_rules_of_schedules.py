"""The checker alone, over schedules: each nominal time has its task, or its row in the log."""

import dataclasses
import datetime
from collections.abc import Callable

import pytest

from tests.chaos import checker
from tests.chaos.evidence import Active, Evidence, Schedule
from tests.chaos.test_checker import at, sound


def scheduled(evidence: Evidence, *seconds: int) -> None:
    """Adds a schedule of each second, which was renamed and then paused, and its tasks of these seconds."""
    second = datetime.timedelta(seconds=1)
    active = [Active(at(0.5), at(3.2), second), Active(at(3.2), at(5.5), second)]
    evidence.schedules.append(Schedule(1, active, [(at(4), at(5))]))
    for number, nominal in enumerate(seconds, start=10):
        row = dataclasses.replace(evidence.rows[1], request_id=None, task_data={}, schedule_id=1)
        logs = [dataclasses.replace(each, task_id=number) for each in evidence.logs[1]]
        evidence.rows[number] = dataclasses.replace(row, task_id=number, nominal_time=at(nominal))
        evidence.logs[number] = logs


def without_a_nominal_time(evidence: Evidence) -> None:
    scheduled(evidence, 1, 3)


def with_a_nominal_time_twice(evidence: Evidence) -> None:
    scheduled(evidence, 1, 2, 2, 3)


def withdrawn_without_a_reason(evidence: Evidence) -> None:
    scheduled(evidence, 1, 2, 3)
    reason = "The schedule was paused."
    evidence.rows[11] = dataclasses.replace(evidence.rows[11], deleted_at=at(4), error_message=reason)


def test_what_a_schedule_skipped_or_a_caller_deleted_is_not_missing() -> None:
    evidence = sound()
    scheduled(evidence, 1, 2, 3)
    evidence.rows[11] = dataclasses.replace(evidence.rows[11], deleted_at=at(4))
    assert checker.check(evidence) == []


@pytest.mark.parametrize("break_it", [without_a_nominal_time, with_a_nominal_time_twice, withdrawn_without_a_reason])
def test_an_unsound_schedule_breaks_its_rule(break_it: Callable[[Evidence], None]) -> None:
    evidence = sound()
    break_it(evidence)
    assert checker.broken_rules(checker.check(evidence)) == {10}
