"""Every field of every response that can carry a payload is emptied, also those of the next rpc."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import descriptor, message_factory

from duetime_server.access import payloads
from tests.support import fields

SECRET = "planted-hunter2"
SHOWN = {
    # Names, ids and settings, which callers choose to be seen, and texts of Duetime's own.
    *("name", "queue", "request_id", "concurrency_key", "worker_id", "actor", "time_zone", "local_time", "cursor"),
    *("previous_queue", "previous_name", "change", "reason", "code", "message", "next_page_token", "cron", "queues"),
    *("handlers", "field", "from_time", "until_time", "first_date", "last_date", "days", "time_zone_version"),
    # Of keys, which only admins manage. The key itself is in the answers to who creates or rotates it.
    *("key_id", "created_by", "replaced_by", "last_used_from", "api_key", "address", "method"),
}
"""The names of text fields that do not quote payloads. Judge each new one: add it here, or to `payloads.QUOTING`."""


def texts(kind: descriptor.Descriptor) -> Iterator[descriptor.FieldDescriptor]:
    for field in kind.fields:
        if field.message_type is not None and field.message_type.full_name.startswith("duetime."):
            yield from texts(field.message_type)
        elif field.message_type is None and field.type == descriptor.FieldDescriptor.TYPE_STRING:
            yield field


def fill(message: Any) -> None:
    """Puts a secret into every field that has room for one."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None:
            if field.type == descriptor.FieldDescriptor.TYPE_STRING and payloads.carries(field):
                setattr(message, field.name, SECRET)
            continue
        value = getattr(message, field.name)
        if field.is_repeated:
            fill(value.add())
        elif field.message_type.full_name == "google.protobuf.Struct":
            value.update({SECRET: {SECRET: [SECRET]}})
        elif field.message_type.full_name.startswith("duetime.") and field.name not in ("heartbeat", "end"):
            fill(value)  # of a oneof only the last one would stay


@pytest.mark.parametrize("method", fields.METHODS)
def test_no_payload_is_left_in_a_response(method: str) -> None:
    kind: Any = message_factory.GetMessageClass(fields.METHODS[method].output_type)
    response = kind()
    fill(response)
    payloads.hide(response)
    assert SECRET not in str(response)


def test_responses_with_payloads_are_found() -> None:
    carrying = set()
    for method in fields.METHODS.values():
        response = message_factory.GetMessageClass(method.output_type)()
        fill(response)
        if SECRET in str(response):
            carrying.add(method.name)
    assert carrying == {
        *("GetTask", "ListTasks", "CancelTask", "RetryTask", "ListTaskLogs", "WatchTask", "WatchTasks"),
        *("CreateSchedule", "GetSchedule", "ListSchedules", "UpdateSchedule", "PauseSchedule", "ResumeSchedule"),
    }


@pytest.mark.parametrize("method", fields.METHODS)
def test_every_text_of_a_response_is_judged(method: str) -> None:
    for field in texts(fields.METHODS[method].output_type):
        assert (field.full_name in payloads.QUOTING) != (field.name in SHOWN), field.full_name


def test_the_history_of_a_queue_keeps_its_limits() -> None:
    response: Any = message_factory.GetMessageClass(fields.METHODS["ListQueueLogs"].output_type)()
    change = response.logs.add().changes.add(field="max_running")
    change.after.number_value = 5
    payloads.hide(response)
    assert response.logs[0].changes[0].after.number_value == 5


def test_what_is_no_payload_stays() -> None:
    kind: Any = message_factory.GetMessageClass(fields.METHODS["GetTask"].output_type)
    task = kind(task_id=7, name="Send Email", queue="mail", error_message=SECRET)
    payloads.hide(task)
    assert task == kind(task_id=7, name="Send Email", queue="mail")
