"""Runs of tasks as handlers see them, without a database."""

import datetime
from typing import Any

from duetime_worker import handlers

MOMENT = datetime.datetime(2026, 11, 24, 9, 0, tzinfo=datetime.UTC)


def of(**changes: Any) -> handlers.Task:
    """Returns the first run of a task."""
    given = {
        "task_id": 7,
        "name": "noop",
        "queue": "default",
        "task_data": {},
        "execution_time": MOMENT,
        "attempt": 1,
        "max_retries": 3,
        "created_at": MOMENT,
    }
    return handlers.Task(**{**given, **changes})
