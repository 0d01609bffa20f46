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


def execution_time(request: Any, wrong: violations.Violations) -> datetime.datetime:
    """Reads an execution_time, which is required."""
    if not request.HasField("execution_time"):
        wrong.add("execution_time", "is required: when the task is due, such as 2026-11-24T09:00:00Z")
    return fields.moment(request.execution_time, "execution_time", wrong)


def _timeout(request: Any, wrong: violations.Violations) -> datetime.timedelta | None:
    if not request.HasField("timeout"):
        return None
    return fields.period(request.timeout, "timeout", wrong, shortest=_MIN_TIMEOUT, longest=MAX_TIMEOUT)


def _priority(request: Any, wrong: violations.Violations) -> int:
    priority: int = request.priority
    if priority > task.MAX_PRIORITY:
        wrong.add("priority", f"must be from 0 to {task.MAX_PRIORITY}, which runs first, not {priority}")
    return priority


FIELDS: dict[str, Reader] = {
    "name": lambda request, wrong: fields.name(request.name, wrong),
    "execution_time": execution_time,
    "task_data": lambda request, wrong: fields.json_object(request.task_data, "task_data", wrong),
    "queue": lambda request, wrong: fields.queue(request.queue, wrong) if request.queue else task.DEFAULT_QUEUE,
    "max_retries": lambda request, wrong: retries.max_retries(request, task.DEFAULT_MAX_RETRIES, wrong),
    "retry_policy": lambda request, wrong: retries.policy(request.retry_policy, task.RetryPolicy(), wrong),
    "timeout": _timeout,
    "priority": _priority,
    "concurrency_key": lambda request, wrong: fields.concurrency_key(request.concurrency_key, wrong),
}
"""Field → its reader, which returns the default if the request does not set it. `messages.settable` writes them."""
TEMPLATE = {name: read for name, read in FIELDS.items() if name != "execution_time"}
"""The fields of a schedule's template: all but the time."""
