"""Valid requests, for tests to use or to modify."""

import datetime
from typing import Any

from google.protobuf import struct_pb2, timestamp_pb2

from duetime.v1 import task_service_pb2


def at(seconds: float) -> datetime.datetime:
    """Returns the time in so many seconds."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


def as_json(**changes: Any) -> dict[str, Any]:
    """Returns the body of a create, due tomorrow, with changes; None removes a field."""
    body = {"name": "noop", "execution_time": at(86400).isoformat(), "task_data": {}, **changes}
    return {name: value for name, value in body.items() if value is not None}


def as_message(**changes: Any) -> task_service_pb2.CreateTaskRequest:
    """Returns the same as a message; execution_time may be an aware datetime."""
    fields = {"name": "noop", "execution_time": at(86400), **changes}
    if isinstance(fields["execution_time"], datetime.datetime):
        due = timestamp_pb2.Timestamp()
        due.FromDatetime(fields["execution_time"])
        fields["execution_time"] = due
    return task_service_pb2.CreateTaskRequest(**{name: value for name, value in fields.items() if value is not None})


def struct(value: dict[str, Any]) -> struct_pb2.Struct:
    """Returns a JSON object as a protobuf Struct."""
    message = struct_pb2.Struct()
    message.update(value)
    return message
