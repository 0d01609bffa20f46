"""The policies of a schedule have the same names in the contract and in the database."""

import enum
from typing import Any

import pytest

from duetime.v1 import schedule_pb2, schedule_service_pb2
from duetime_core.model import recurrence, schedule
from duetime_server.rpc import fields, violations

POLICIES: dict[str, tuple[Any, type[enum.StrEnum]]] = {
    "missing_time": (schedule_pb2.MissingTime.Policy, recurrence.MissingTime),
    "repeated_time": (schedule_pb2.RepeatedTime.Policy, recurrence.RepeatedTime),
    "overlap": (schedule_pb2.Overlap.Policy, schedule.Overlap),
    "catch_up": (schedule_pb2.CatchUp.Policy, schedule.CatchUp),
    "behavior": (schedule_pb2.Blackout.Behavior, recurrence.BlackoutBehavior),
}


@pytest.mark.parametrize("field", POLICIES)
def test_an_enum_has_the_values_that_are_stored(field: str) -> None:
    contract, stored = POLICIES[field]
    unspecified, *names = contract.keys()
    assert (unspecified, contract.Value(unspecified)) == ("unspecified", 0)
    assert set(names) == set(stored)


@pytest.mark.parametrize(("given", "read"), [(0, "queue"), (1, "allow"), (2, "skip"), (3, "queue")])
def test_unspecified_is_the_default(given: int, read: str) -> None:
    problems = violations.Violations()
    request = schedule_service_pb2.CreateScheduleRequest(overlap=given)  # type: ignore[arg-type]
    assert fields.choice(request, "overlap", schedule.Overlap.QUEUE, problems) == read
    problems.check()


def test_a_number_that_is_not_known_is_refused_by_the_names_that_are() -> None:
    problems = violations.Violations()
    request = schedule_service_pb2.CreateScheduleRequest(overlap=99)  # type: ignore[arg-type]
    fields.choice(request, "overlap", schedule.Overlap.ALLOW, problems)
    with pytest.raises(Exception, match="overlap: must be one of allow, skip, queue, not 99"):
        problems.check()
