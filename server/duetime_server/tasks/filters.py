"""Reads filters and orders of tasks. All raise InvalidArgument."""

import dataclasses
from collections.abc import Sequence

from duetime.v1 import task_pb2, task_service_pb2
from duetime_core.model import quoting, task
from duetime_core.store.tasks import page as task_page
from duetime_server.rpc import fields, violations

MAX_STATUSES = 1000
ORDERS: tuple[task_page.Order, ...] = ("execution_time", "execution_time desc", "task_id", "task_id desc")


def statuses(
    given: Sequence[task_pb2.Task.Status.ValueType], problems: violations.Violations
) -> tuple[task.Status, ...]:
    """Reads a filter's statuses."""
    if len(given) > MAX_STATUSES:
        problems.add("status", f"must be at most {MAX_STATUSES} values; there are {len(given)}")
        return ()
    known = {task_pb2.Task.Status.Value(status): status for status in task.Status}
    wanted = dict.fromkeys(given)  # one may be given a thousand times
    if not wanted.keys() <= known.keys():
        unknown = next(number for number in wanted if number not in known)
        name = task_pb2.Task.Status.Name(unknown) if unknown in task_pb2.Task.Status.values() else unknown
        problems.add("status", f"must be one of {', '.join(task.Status)}, not {name}")
    return tuple(known[number] for number in wanted if number in known)


def task_filter(
    request: task_service_pb2.ListTasksRequest | task_service_pb2.WatchTasksRequest | task_service_pb2.TaskFilter,
    *,
    prefix: str = "",
) -> task_page.Filter:
    """Reads a filter of tasks; the names of invalid fields begin with `prefix`."""
    problems = violations.Violations()
    problems.prefix = prefix
    read = task_page.Filter(
        statuses=statuses(request.status, problems),
        queue=fields.queue(request.queue, problems) if request.queue else None,
        name=fields.filter_text(request.name, "name", problems),
    )
    if not isinstance(request, task_service_pb2.WatchTasksRequest):
        read = _with_fields_of_lists(read, request, problems)
    problems.check()
    return read


def _with_fields_of_lists(
    read: task_page.Filter,
    request: task_service_pb2.ListTasksRequest | task_service_pb2.TaskFilter,
    problems: violations.Violations,
) -> task_page.Filter:
    key, request_id = request.concurrency_key, request.request_id
    return dataclasses.replace(
        read,
        due_from=fields.moment(request.due_from, "due_from", problems) if request.HasField("due_from") else None,
        due_before=fields.moment(request.due_before, "due_before", problems)
        if request.HasField("due_before")
        else None,
        schedule_id=request.schedule_id or None,
        concurrency_key=fields.filter_text(key, "concurrency_key", problems, most=fields.MAX_KEY_CHARACTERS),
        request_id=fields.filter_text(request_id, "request_id", problems, most=fields.MAX_REQUEST_ID_CHARACTERS),
        name_prefix=fields.filter_text(request.name_prefix, "name_prefix", problems),
    )


def order(given: str) -> task_page.Order:
    """Reads an order_by."""
    wanted = " ".join(quoting.shortened(given).split()).removesuffix(" asc") or ORDERS[0]
    for known in ORDERS:
        if wanted == known:
            return known
    raise violations.refuse("order_by", f"must be one of: {', '.join(ORDERS)}; not {quoting.shortened(given)!r}")
