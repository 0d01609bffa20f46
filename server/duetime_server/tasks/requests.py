"""Reads requests that create and update tasks. All raise InvalidArgument."""

import datetime
from typing import Any

from duetime.v1 import schedule_pb2, task_service_pb2
from duetime_core.model import task
from duetime_server.rpc import fields, masks, violations
from duetime_server.tasks import local_times, settable

MAX_BATCH = 1000

_EITHER = "must not be given together with local_time"
_UNKNOWN = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def new_task(request: task_service_pb2.CreateTaskRequest) -> task.NewTask:
    """Reads one new task."""
    problems = violations.Violations()
    new = _new_task(request, problems)
    problems.check()
    return new


def new_tasks(request: task_service_pb2.BatchCreateTasksRequest) -> list[task.NewTask]:
    """Reads a batch of new tasks; invalid fields are named such as `requests[3].name`."""
    problems = violations.Violations()
    if not 1 <= len(request.requests) <= MAX_BATCH:
        raise violations.refuse("requests", f"must be 1 to {MAX_BATCH} tasks; there are {len(request.requests)}")
    news = []
    for index, each in enumerate(request.requests):
        problems.prefix = f"requests[{index}]."
        news.append(_new_task(each, problems))
    problems.check()
    return news


def _new_task(request: task_service_pb2.CreateTaskRequest, problems: violations.Violations) -> task.NewTask:
    read = {field: reader(request, problems) for field, reader in _NEW.items()}
    execution_time, local_time, time_zone = read.pop("execution_time")
    return task.NewTask(
        **read,
        execution_time=execution_time,
        local_time=local_time,
        time_zone=time_zone,
        request_id=fields.request_id(request.request_id, problems),
    )


def template(request: schedule_pb2.TaskTemplate, problems: violations.Violations) -> dict[str, Any]:
    """Reads the fields of a schedule's template."""
    return {field: reader(request, problems) for field, reader in settable.TEMPLATE.items()}


def _when(
    request: task_service_pb2.CreateTaskRequest, problems: violations.Violations
) -> tuple[datetime.datetime, datetime.datetime | None, str | None]:
    if not request.local_time and not request.time_zone:
        return settable.execution_time(request, problems), None, None
    if request.HasField("execution_time"):
        problems.add("execution_time", _EITHER)
    return local_times.read(request, problems) or (_UNKNOWN, None, None)


_NEW: dict[str, settable.Reader] = {**settable.FIELDS, "execution_time": _when}


def changes(request: task_service_pb2.UpdateTaskRequest) -> dict[str, Any]:
    """Reads the new values of a task's fields: those that are present, or that update_mask names."""
    problems = violations.Violations()
    named = masks.named(request, (*settable.FIELDS, *local_times.FIELDS), problems)
    read = {name: settable.FIELDS[name](request, problems) for name in named if name in settable.FIELDS}
    if set(named) & set(local_times.FIELDS):
        if "execution_time" in named:
            problems.add("execution_time", _EITHER)
        read["local_time"] = local_times.read(request, problems)
    problems.check()
    return read
