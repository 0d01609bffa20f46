"""The fields that an update changes."""

import pytest

from duetime.v1 import task_service_pb2
from duetime_core.model import errors
from duetime_server.rpc import masks, violations

SETTABLE = ("name", "priority", "timeout")


def named(**fields: object) -> list[str]:
    request = task_service_pb2.UpdateTaskRequest(**fields)  # type: ignore[arg-type]
    return masks.named(request, SETTABLE, violations.Violations())


def test_without_a_mask_the_present_fields_are_changed() -> None:
    assert named(name="new", priority=2) == ["name", "priority"]


def test_a_mask_names_also_fields_that_are_unset_each_once() -> None:
    assert named(name="new", update_mask={"paths": ["timeout", "timeout"]}) == ["timeout"]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "nothing to change: send at least one of name, priority, timeout"),
        ({"update_mask": {"paths": ["status"]}}, "names 'status'; must be one of name, priority, timeout"),
        ({"update_mask": {"paths": ["name"] * 1_001}}, "must name at most 1000 fields; it names 1001"),
    ],
)
def test_a_mask_of_no_known_field_is_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"^update_mask: {problem}"):
        named(**fields)
