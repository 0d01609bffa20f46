"""The fields of a task that callers set: one table for creates, updates, update masks and schedules' templates."""

import datetime
from collections.abc import Callable
from typing import Any

from duetime_core.model import task
from duetime_server.rpc import fields, violations
from duetime_server.tasks import retries

MAX_TIMEOUT = datetime.timedelta(days=7)
_MIN_TIMEOUT = datetime.timedelta(milliseconds=1)

Reader = Callable[[Any, violations.Violations], Any]


def execution_time(request: Any, problems: violations.Violations) -> datetime.datetime:
    """Reads an execution_time, which is required."""
    if not request.HasField("execution_time"):
        problems.add("execution_time", "is required: when the task is due, such as 2026-11-24T09:00:00Z")
    return fields.moment(request.execution_time, "execution_time", problems)


def _timeout(request: Any, problems: violations.Violations) -> datetime.timedelta | None:
    if not request.HasField("timeout"):
        return None
    return fields.period(request.timeout, "timeout", problems, shortest=_MIN_TIMEOUT, longest=MAX_TIMEOUT)


def _priority(request: Any, problems: violations.Violations) -> int:
    priority: int = request.priority
    if priority > task.MAX_PRIORITY:
        problems.add("priority", f"must be from 0 to {task.MAX_PRIORITY}, which runs first, not {priority}")
    return priority


FIELDS: dict[str, Reader] = {
    "name": lambda request, problems: fields.name(request.name, problems),
    "execution_time": execution_time,
    "task_data": lambda request, problems: fields.json_object(request.task_data, "task_data", problems),
    "queue": lambda request, problems: fields.queue(request.queue, problems) if request.queue else task.DEFAULT_QUEUE,
    "max_retries": lambda request, problems: retries.max_retries(request, task.DEFAULT_MAX_RETRIES, problems),
    "retry_policy": lambda request, problems: retries.policy(request.retry_policy, task.RetryPolicy(), problems),
    "timeout": _timeout,
    "priority": _priority,
    "concurrency_key": lambda request, problems: fields.concurrency_key(request.concurrency_key, problems),
}
"""Field → its reader, which returns the default if the request does not set it. `messages.settable` writes them."""
TEMPLATE = {name: read for name, read in FIELDS.items() if name != "execution_time"}
"""The fields of a schedule's template: all but the time."""
