"""Tasks as handlers receive them, without a database."""

import datetime
from typing import Any

from duetime_core.model import namespace, task
from duetime_worker import handlers

MOMENT = datetime.datetime(2026, 11, 24, 9, 0, tzinfo=datetime.UTC)


def of(**changes: Any) -> handlers.Task:
    """Returns a task at its first run."""
    given = {
        "task_id": 7,
        "name": "noop",
        "queue": "default",
        "task_data": {},
        "execution_time": MOMENT,
        "attempt": 1,
        "max_retries": 3,
        "version": 2,
        "created_at": MOMENT,
    }
    return handlers.Task(**{**given, **changes})


def claimed(**changes: Any) -> task.Task:
    """Returns a task's row as a claim returns it."""
    given = {
        "task_id": 7,
        "name": "noop",
        "queue": "default",
        "status": task.Status.RUNNING,
        "execution_time": MOMENT,
        "task_data": {},
        "result": None,
        "error_message": None,
        "retry_count": 0,
        "max_retries": 3,
        "retry_policy": task.RetryPolicy(),
        "timeout": None,
        "version": 2,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "executed_at": MOMENT,
        "request_id": None,
        "worker_id": "worker",
        "lease_expires_at": MOMENT + datetime.timedelta(seconds=15),
        "deleted_at": None,
        "lost_leases": 0,
        "priority": 0,
        "concurrency_key": None,
        "schedule_id": None,
        "nominal_time": None,
        "is_next": False,
        "local_time": None,
        "time_zone": None,
        "namespace_id": namespace.DEFAULT,
    }
    return task.Task(**{**given, **changes})
