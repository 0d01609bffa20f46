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


@dataclasses.dataclass(frozen=True, slots=True)
class WatchFilter:
    """Which tasks a watch sends; empty statuses and None match all."""

    statuses: tuple[task.Status, ...] = ()
    queue: str | None = None
    name: str | None = None


def watch_filter(request: task_service_pb2.WatchTasksRequest) -> WatchFilter:
    """Reads the filter of a watch."""
    problems = violations.Violations()
    read = WatchFilter(
        statuses(request.status, problems),
        fields.filter_queue(request, problems),
        fields.filter_text(request, "name", problems),
    )
    problems.check()
    return read


def task_filter(
    request: task_service_pb2.ListTasksRequest | task_service_pb2.TaskFilter, *, prefix: str = ""
) -> task_page.Filter:
    """Reads a filter of tasks; the names of invalid fields begin with `prefix`."""
    problems = violations.Violations()
    problems.prefix = prefix
    read = task_page.Filter(
        statuses=statuses(request.status, problems),
        queue=fields.filter_queue(request, problems),
        name=fields.filter_text(request, "name", problems),
        due_from=fields.moment(request.due_from, "due_from", problems) if request.HasField("due_from") else None,
        due_before=fields.moment(request.due_before, "due_before", problems)
        if request.HasField("due_before")
        else None,
        schedule_id=_schedule_id(request, problems),
        concurrency_key=fields.filter_text(request, "concurrency_key", problems, most=fields.MAX_KEY_CHARACTERS),
        request_id=fields.filter_text(request, "request_id", problems, most=fields.MAX_REQUEST_ID_CHARACTERS),
        name_prefix=fields.filter_text(request, "name_prefix", problems),
    )
    problems.check()
    return read


def _schedule_id(
    request: task_service_pb2.ListTasksRequest | task_service_pb2.TaskFilter, problems: violations.Violations
) -> int | None:
    if not request.HasField("schedule_id"):
        return None
    if request.schedule_id == 0:  # as a task without a schedule has it
        problems.add("schedule_id", "must be from 1 on, not 0; leave it out to select any")
    return request.schedule_id


def order(given: str) -> task_page.Order:
    """Reads an order_by."""
    wanted = " ".join(quoting.shortened(given).split()).removesuffix(" asc") or ORDERS[0]
    for known in ORDERS:
        if wanted == known:
            return known
    raise violations.refuse("order_by", f"must be one of: {', '.join(ORDERS)}; not {quoting.shortened(given)!r}")
