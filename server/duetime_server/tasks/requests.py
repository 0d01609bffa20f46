"""Reading requests: from protobuf to what `core` works with, checked. All raise InvalidArgument."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Any

from duetime.v1 import schedule_pb2, task_pb2, task_service_pb2
from duetime_core.model import quoting, task
from duetime_core.store.tasks import page as task_page
from duetime_server.rpc import fields, masks, violations
from duetime_server.tasks import local_times

MAX_BATCH = 1000
MAX_TIMEOUT = datetime.timedelta(days=7)
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 50
MAX_STATUSES = 1000

_EITHER = "must not be given together with local_time"
_FIRST = ("name", "execution_time")
_UNKNOWN = datetime.datetime.min.replace(tzinfo=datetime.UTC)

ORDERS: tuple[task_page.Order, ...] = ("execution_time", "execution_time desc", "task_id", "task_id desc")

Request = task_service_pb2.CreateTaskRequest | task_service_pb2.UpdateTaskRequest | schedule_pb2.TaskTemplate


def new_task(request: task_service_pb2.CreateTaskRequest) -> task.NewTask:
    """Reads one task to be created."""
    wrong = violations.Violations()
    new = _new_task(request, wrong)
    wrong.check()
    return new


def new_tasks(request: task_service_pb2.BatchCreateTasksRequest) -> list[task.NewTask]:
    """Reads a batch of tasks to be created; wrong fields are named `requests[3].name`."""
    wrong = violations.Violations()
    if not 1 <= len(request.requests) <= MAX_BATCH:
        raise violations.refuse("requests", f"must be 1 to {MAX_BATCH} tasks; there are {len(request.requests)}")
    news = []
    for index, each in enumerate(request.requests):
        wrong.prefix = f"requests[{index}]."
        news.append(_new_task(each, wrong))
    wrong.check()
    return news


def _new_task(request: task_service_pb2.CreateTaskRequest, wrong: violations.Violations) -> task.NewTask:
    name = fields.name(request.name, wrong)  # first, as what is wrong is told in the order of the fields
    execution_time, local_time, time_zone = _when(request, wrong)
    others = {field: read(request, wrong) for field, read in _CHANGEABLE.items() if field not in _FIRST}
    return task.NewTask(
        name,
        execution_time,
        **others,
        request_id=fields.request_id(request.request_id, wrong),
        local_time=local_time,
        time_zone=time_zone,
    )


def template(request: schedule_pb2.TaskTemplate, wrong: violations.Violations) -> dict[str, Any]:
    """Reads what a task is, but for its time: fields of `task.NewTask`."""
    return {name: read(request, wrong) for name, read in _CHANGEABLE.items() if name != "execution_time"}


def _when(
    request: task_service_pb2.CreateTaskRequest, wrong: violations.Violations
) -> tuple[datetime.datetime, datetime.datetime | None, str | None]:
    if not request.local_time and not request.time_zone:
        return _execution_time(request, wrong), None, None
    if request.HasField("execution_time"):
        wrong.add("execution_time", _EITHER)
    return local_times.read(request, wrong) or (_UNKNOWN, None, None)


def changes(request: task_service_pb2.UpdateTaskRequest) -> dict[str, Any]:
    """Reads which fields of a task to change, and to what: those that are present, or that update_mask names."""
    wrong = violations.Violations()
    named = masks.named(request, (*_CHANGEABLE, *local_times.FIELDS), wrong)
    read = {name: _CHANGEABLE[name](request, wrong) for name in named if name in _CHANGEABLE}
    if set(named) & set(local_times.FIELDS):
        if "execution_time" in named:
            wrong.add("execution_time", _EITHER)
        read["local_time"] = local_times.read(request, wrong)
    wrong.check()
    return read


def _name(request: Request, wrong: violations.Violations) -> str:
    return fields.name(request.name, wrong)


def _execution_time(request: Any, wrong: violations.Violations) -> datetime.datetime:
    if not request.HasField("execution_time"):
        wrong.add("execution_time", "is required: when the task is due, such as 2026-11-24T09:00:00Z")
    return fields.moment(request.execution_time, "execution_time", wrong)


def _task_data(request: Request, wrong: violations.Violations) -> dict[str, Any]:
    return fields.json_object(request.task_data, "task_data", wrong)


def _queue(request: Request, wrong: violations.Violations) -> str:
    return fields.queue(request.queue, wrong) if request.queue else task.DEFAULT_QUEUE


def _max_retries(request: Request, wrong: violations.Violations) -> int:
    if not request.HasField("max_retries"):
        return task.DEFAULT_MAX_RETRIES
    if request.max_retries > task.MAX_RETRIES:
        wrong.add("max_retries", f"must be from 0 to {task.MAX_RETRIES}, not {request.max_retries}")
    return request.max_retries


def _timeout(request: Request, wrong: violations.Violations) -> datetime.timedelta | None:
    if not request.HasField("timeout"):
        return None
    shortest = datetime.timedelta(milliseconds=1)
    return fields.period(request.timeout, "timeout", wrong, shortest=shortest, longest=MAX_TIMEOUT)


def _priority(request: Request, wrong: violations.Violations) -> int:
    if request.priority > task.MAX_PRIORITY:
        wrong.add("priority", f"must be from 0 to {task.MAX_PRIORITY}, which runs first, not {request.priority}")
    return request.priority


def _concurrency_key(request: Request, wrong: violations.Violations) -> str | None:
    return fields.concurrency_key(request.concurrency_key, wrong)


def _retry_policy(request: Request, wrong: violations.Violations) -> task.RetryPolicy:
    return retry_policy(request.retry_policy, task.RetryPolicy(), wrong)


def retry_policy(
    given: task_pb2.RetryPolicy, default: task.RetryPolicy, wrong: violations.Violations
) -> task.RetryPolicy:
    """Reads a retry policy, whose fields are those of `default` where none is given."""
    initial_backoff, max_backoff = default.initial_backoff, default.max_backoff
    multiplier, jitter = default.multiplier, default.jitter
    if given.HasField("initial_backoff"):
        field = "retry_policy.initial_backoff"
        initial_backoff = fields.period(given.initial_backoff, field, wrong, longest=task.MAX_BACKOFF)
        max_backoff = max(max_backoff, initial_backoff)
    if given.HasField("max_backoff"):
        field = "retry_policy.max_backoff"
        max_backoff = fields.period(given.max_backoff, field, wrong, longest=task.MAX_BACKOFF)
        if not given.HasField("initial_backoff"):
            initial_backoff = min(initial_backoff, max_backoff)
        if max_backoff < initial_backoff:
            wrong.add(field, "must not be shorter than initial_backoff")
    if given.HasField("multiplier"):
        multiplier = given.multiplier
        if not 1 <= multiplier <= task.MAX_MULTIPLIER:
            wrong.add("retry_policy.multiplier", f"must be from 1 to {task.MAX_MULTIPLIER}, not {multiplier:g}")
    if given.HasField("jitter"):
        jitter = given.jitter
        if not 0 <= jitter <= 1:
            wrong.add("retry_policy.jitter", f"must be from 0 to 1, not {jitter:g}")
    return task.RetryPolicy(initial_backoff, max_backoff, multiplier, jitter)


_CHANGEABLE: dict[str, Callable[[Request, violations.Violations], Any]] = {
    "name": _name,
    "execution_time": _execution_time,
    "task_data": _task_data,
    "queue": _queue,
    "max_retries": _max_retries,
    "retry_policy": _retry_policy,
    "timeout": _timeout,
    "priority": _priority,
    "concurrency_key": _concurrency_key,
}


def statuses(given: Sequence[task_pb2.Task.Status.ValueType], wrong: violations.Violations) -> tuple[task.Status, ...]:
    """Reads a filter's statuses."""
    if len(given) > MAX_STATUSES:
        wrong.add("status", f"must be at most {MAX_STATUSES} values; there are {len(given)}")
        return ()
    known = {task_pb2.Task.Status.Value(status): status for status in task.Status}
    wanted = dict.fromkeys(given)  # one may be given a thousand times
    if not wanted.keys() <= known.keys():
        unknown = next(number for number in wanted if number not in known)
        name = task_pb2.Task.Status.Name(unknown) if unknown in task_pb2.Task.Status.values() else unknown
        wrong.add("status", f"must be one of {', '.join(task.Status)}, not {name}")
    return tuple(known[number] for number in wanted if number in known)


def task_filter(
    request: task_service_pb2.ListTasksRequest | task_service_pb2.WatchTasksRequest | task_service_pb2.TaskFilter,
    *,
    prefix: str = "",
) -> task_page.Filter:
    """Reads a filter of tasks; `prefix` comes before the names of wrong fields."""
    wrong = violations.Violations()
    wrong.prefix = prefix
    read = task_page.Filter(
        statuses=statuses(request.status, wrong),
        queue=fields.queue(request.queue, wrong) if request.queue else None,
        name=fields.wanted_text(request.name, "name", wrong),
    )
    if not isinstance(request, task_service_pb2.WatchTasksRequest):
        read = _with_what_watches_lack(read, request, wrong)
    wrong.check()
    return read


def _with_what_watches_lack(
    read: task_page.Filter,
    request: task_service_pb2.ListTasksRequest | task_service_pb2.TaskFilter,
    wrong: violations.Violations,
) -> task_page.Filter:
    key, request_id = request.concurrency_key, request.request_id
    return dataclasses.replace(
        read,
        due_from=fields.moment(request.due_from, "due_from", wrong) if request.HasField("due_from") else None,
        due_before=fields.moment(request.due_before, "due_before", wrong) if request.HasField("due_before") else None,
        schedule_id=request.schedule_id or None,
        concurrency_key=fields.wanted_text(key, "concurrency_key", wrong, most=fields.MAX_KEY_CHARACTERS),
        request_id=fields.wanted_text(request_id, "request_id", wrong, most=fields.MAX_REQUEST_ID_CHARACTERS),
        name_prefix=fields.wanted_text(request.name_prefix, "name_prefix", wrong),
    )


def order(given: str) -> task_page.Order:
    """Reads an order_by."""
    wanted = " ".join(quoting.shortened(given).split()).removesuffix(" asc") or ORDERS[0]
    for known in ORDERS:
        if wanted == known:
            return known
    raise violations.refuse("order_by", f"must be one of: {', '.join(ORDERS)}; not {quoting.shortened(given)!r}")


def page_size(given: int) -> int:
    """Reads a page_size; 0 means the default."""
    if given > MAX_PAGE_SIZE:
        raise violations.refuse("page_size", f"must be at most {MAX_PAGE_SIZE}, not {given}")
    return given or DEFAULT_PAGE_SIZE
