"""Reading requests that create and update tasks."""

import datetime
from typing import Any

import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2

from duetime.v1 import task_service_pb2
from duetime_core.model import errors, task
from duetime_server.tasks import requests

DUE = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def create(**changes: Any) -> Any:
    due = timestamp_pb2.Timestamp(seconds=int(DUE.timestamp()))
    return task_service_pb2.CreateTaskRequest(**{"name": "noop", "execution_time": due, **changes})


def test_a_create_has_the_defaults_of_fields_that_it_does_not_set() -> None:
    assert requests.new_task(create()) == task.NewTask("noop", DUE)


def test_a_create_is_due_at_an_instant_or_at_a_local_time_but_not_at_both() -> None:
    local: dict[str, Any] = {"local_time": "2030-01-01T01:00:00", "time_zone": "Europe/Berlin"}
    new = requests.new_task(create(execution_time=None, **local))
    assert (new.execution_time, new.time_zone) == (DUE, "Europe/Berlin")
    with pytest.raises(errors.InvalidArgument, match="execution_time: must not be given together with local_time"):
        requests.new_task(create(**local))


def test_a_batch_names_each_invalid_field_with_its_position() -> None:
    batch = task_service_pb2.BatchCreateTasksRequest(requests=[create(), create(name="", priority=10)])
    with pytest.raises(errors.InvalidArgument) as refused:
        requests.new_tasks(batch)
    assert [each.field for each in refused.value.violations] == ["requests[1].name", "requests[1].priority"]


@pytest.mark.parametrize("count", [0, 1_001])
def test_a_batch_of_none_or_too_many_is_refused(count: int) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"^requests: must be 1 to 1000 tasks; there are {count}"):
        requests.new_tasks(task_service_pb2.BatchCreateTasksRequest(requests=[create()] * count))


def test_an_update_changes_what_is_present_or_named() -> None:
    mask = field_mask_pb2.FieldMask(paths=["timeout", "priority"])
    request = task_service_pb2.UpdateTaskRequest(priority=2, update_mask=mask)
    assert requests.changes(request) == {"timeout": None, "priority": 2}
    assert requests.changes(task_service_pb2.UpdateTaskRequest(name="new")) == {"name": "new"}
