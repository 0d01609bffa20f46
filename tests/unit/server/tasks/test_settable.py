"""One table has the fields that callers set on tasks: requests, masks, templates and messages agree with it."""

import pytest

from duetime.v1 import schedule_pb2, task_pb2, task_service_pb2
from duetime_core.model import errors, schedule, task
from duetime_server.rpc import violations
from duetime_server.tasks import local_times, messages, settable

MESSAGES = {
    task_service_pb2.CreateTaskRequest: {*settable.FIELDS, *local_times.FIELDS, "request_id"},
    task_service_pb2.UpdateTaskRequest: {*settable.FIELDS, *local_times.FIELDS, "task_id", "version", "update_mask"},
    schedule_pb2.TaskTemplate: set(settable.TEMPLATE),
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: str(message.__name__))
def test_a_message_has_the_fields_of_the_table(message: type) -> None:
    assert set(message.DESCRIPTOR.fields_by_name) == MESSAGES[message]  # type: ignore[attr-defined]


def test_the_table_has_the_fields_of_tasks_and_templates() -> None:
    assert settable.FIELDS.keys() <= set(task.NewTask.__dataclass_fields__)
    assert settable.FIELDS.keys() <= set(task_pb2.Task.DESCRIPTOR.fields_by_name)
    assert settable.TEMPLATE.keys() == set(schedule.Template.__dataclass_fields__)
    assert messages.settable(schedule.Template("noop")).keys() == settable.TEMPLATE.keys()


def test_a_field_that_is_not_set_has_the_default_of_a_new_task() -> None:
    problems = violations.Violations()
    request = task_service_pb2.CreateTaskRequest(name="noop")
    read = {field: reader(request, problems) for field, reader in settable.TEMPLATE.items()}
    problems.check()
    assert schedule.Template(**read) == schedule.Template("noop")


@pytest.mark.parametrize(
    ("field", "value"), [("priority", 10), ("max_retries", 1_001), ("queue", "A"), ("name", ""), ("name", "a\n")]
)
def test_a_value_out_of_bounds_is_refused(field: str, value: object) -> None:
    problems = violations.Violations()
    settable.FIELDS[field](task_service_pb2.CreateTaskRequest(**{field: value}), problems)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument, match=f"^{field}: "):
        problems.check()
