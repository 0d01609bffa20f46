"""Builds the requests about tasks. A value that cannot be sent raises InvalidArgument here, naming the field."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import reprlib
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

from google.protobuf import message as protobuf_message

from duetime.v1 import task_pb2, task_service_pb2
from duetime_client import errors, moment, payload, scalar, task

Request = TypeVar("Request", bound=protobuf_message.Message)
OrderBy = Literal["execution_time", "execution_time desc", "task_id", "task_id desc"]

MAX_BYTES = 1024 * 1024
"""The largest request that the server accepts."""
MAX_ID = 2**32 - 1


class Unset(enum.Enum):
    """Distinguishes "leave unchanged" from None, which means "reset to the default", in `update`."""

    UNSET = "unset"


UNSET = Unset.UNSET


def checked_task_id(task_id: int) -> int:
    """Returns the id; raises InvalidArgument if it is out of range."""
    return checked_id(task_id, "task_id")


def checked_id(given: object, field: str) -> int:
    """Returns the id of a task or schedule; raises InvalidArgument, naming `field`, if it is out of range."""
    if not isinstance(given, int) or not 0 < given <= MAX_ID:
        raise errors.invalid(field, f"must be an integer from 1 to {MAX_ID}")
    return given


def nothing_to_change() -> errors.InvalidArgument:
    """Returns the error for an update without any field."""
    return errors.invalid("update_mask", "must name at least one field")


def resolved(new: task.NewTask, now: datetime.datetime, field: str = "") -> task.NewTask:
    """Returns the task with a request_id and an absolute time, so that every retry sends the same request."""
    due = _resolved_time(new.execution_time, now, field + "execution_time")
    return dataclasses.replace(new, execution_time=due, request_id=new.request_id or new_request_id())


def _resolved_time(when: task.When, now: datetime.datetime, path: str) -> task.When:
    return when if isinstance(when, task.LocalTime) else moment.absolute(when, now, path)


def new_request_id() -> str:
    """Returns a UUID of version 7, because successive ones are close together in the database's index."""
    milliseconds, random = time.time_ns() // 1_000_000, uuid.uuid4().int & (1 << 76) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | random))


def create_task(new: task.NewTask, field: str = "") -> task_service_pb2.CreateTaskRequest:
    """Returns the request for a resolved task; `field` prefixes the names of invalid fields."""
    request = task_service_pb2.CreateTaskRequest()
    _assign(request, field + "name", new.name)
    _assign(request, field + "execution_time", new.execution_time)
    for name in (
        "task_data",
        "queue",
        "max_retries",
        "retry_policy",
        "timeout",
        "request_id",
        "priority",
        "concurrency_key",
    ):
        value = getattr(new, name)
        if value is not None:
            _assign(request, field + name, value)
    return _checked_size(request, field)


def create_tasks(
    tasks: Iterable[task.NewTask], now: datetime.datetime
) -> tuple[list[task.NewTask], list[task_service_pb2.CreateTaskRequest]]:
    """Returns the tasks, resolved, and a request for each."""
    resolved_tasks: list[task.NewTask] = []
    requests: list[task_service_pb2.CreateTaskRequest] = []
    for index, new in enumerate(tasks):
        resolved_tasks.append(resolved(new, now, f"requests[{index}]."))
        requests.append(create_task(resolved_tasks[-1], f"requests[{index}]."))
    return resolved_tasks, requests


def update_task(
    task_id: int, changes: dict[str, Any], version: int | None, now: datetime.datetime
) -> task_service_pb2.UpdateTaskRequest:
    """Returns the request that changes the fields that are not UNSET, and resets those that are None."""
    request = task_service_pb2.UpdateTaskRequest(task_id=checked_task_id(task_id))
    given = {name: value for name, value in changes.items() if value is not UNSET}
    if not given:
        raise nothing_to_change()
    for name in ("name", "execution_time"):
        if given.get(name, UNSET) is None:
            raise errors.invalid(name, "has no default to reset it to")
    for name, value in given.items():
        if name == "execution_time":
            value = _resolved_time(value, now, name)
        if value is not None:
            _assign(request, name, value)
        is_local = isinstance(value, task.LocalTime)
        request.update_mask.paths.extend(("local_time", "time_zone") if is_local else (name,))
    if version is not None:
        _assign(request, "version", version)
    return _checked_size(request, "")


def list_tasks(
    status: task.Status | Iterable[task.Status], order_by: OrderBy, page_size: int, **filters: object
) -> task_service_pb2.ListTasksRequest:
    """Returns the request for the first page; `filters` are the other fields of `task_filter`."""
    request = task_service_pb2.ListTasksRequest(status=statuses(status), page_size=page_size)
    return filtered(scalar.filled(request, order_by=order_by), filters)


def task_filter(status: task.Status | Iterable[task.Status] = (), **filters: object) -> task_service_pb2.TaskFilter:
    """Returns the filter of a bulk change; `filters` are its other fields."""
    return filtered(task_service_pb2.TaskFilter(status=statuses(status)), filters)


def filtered(message: Request, filters: Mapping[str, object]) -> Request:
    """Returns the message with the filters that are not None; raises InvalidArgument for an empty one."""
    for field, value in filters.items():
        if value is not None:
            _assign(message, field, _checked_filter(field, value))
    return message


def _checked_filter(field: str, value: object) -> object:
    # An unset variable must not select all tasks, whichever release the server has.
    if value == "":
        raise errors.invalid(field, "must not be empty; None selects any")
    return checked_id(value, field) if field == "schedule_id" else value


def statuses(status: task.Status | Iterable[task.Status]) -> list[task_pb2.Task.Status.ValueType]:
    """Returns one status or several as the contract's enum values."""
    return [_status(member) for member in ([status] if isinstance(status, str) else status)]


def _status(given: task.Status) -> task_pb2.Task.Status.ValueType:
    try:
        return task_pb2.Task.Status.Value(task.Status(given))
    except ValueError:
        allowed = ", ".join(task.Status)
        raise errors.invalid("status", f"must be one of {allowed}, not {reprlib.repr(given)}") from None


def _assign(request: protobuf_message.Message, path: str, value: object) -> None:
    name = path.rpartition(".")[2]
    match name:
        case "execution_time" if isinstance(value, task.LocalTime):
            _assign_local_time(request, path.removesuffix(name), value)
        case "execution_time" | "due_from" | "due_before":
            getattr(request, name).CopyFrom(moment.to_timestamp(value, path))
        case "timeout" | "initial_backoff" | "max_backoff":
            getattr(request, name).CopyFrom(moment.to_duration(value, path))
        case "task_data":
            getattr(request, name).CopyFrom(payload.to_struct(value, path))
        case "retry_policy":
            assign_retry_policy(getattr(request, name), path, value)
        case _:
            scalar.assign(request, name, path, value)


def _assign_local_time(request: Any, prefix: str, value: task.LocalTime) -> None:
    if not isinstance(value.local_time, datetime.datetime) or value.local_time.tzinfo is not None:
        raise errors.invalid(f"{prefix}local_time", "must be a datetime without a time zone")
    request.local_time = value.local_time.isoformat()
    _assign(request, f"{prefix}time_zone", value.time_zone)


def assign_retry_policy(message: task_pb2.RetryPolicy, path: str, value: object) -> None:
    """Sets the message to the policy; raises InvalidArgument, naming `path`, if it is invalid."""
    if not isinstance(value, task.RetryPolicy):
        raise errors.invalid(path, f"must be a RetryPolicy, not {type(value).__name__}")
    message.SetInParent()
    for name in ("initial_backoff", "max_backoff", "multiplier", "jitter"):
        member = getattr(value, name)
        if member is not None:
            _assign(message, f"{path}.{name}", member)


def _checked_size(request: Request, field: str) -> Request:
    if request.ByteSize() > MAX_BYTES:
        raise errors.invalid(field + "task_data", f"makes the request larger than {MAX_BYTES // 1024} KiB")
    return request
