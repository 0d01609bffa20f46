"""Reading and writing the rows of tasks and of their log."""

import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from duetime_core.model import task

TASK_COLUMNS = (
    "task_id, name, queue, status, execution_time, task_data, result, error_message, retry_count, max_retries, "
    "retry_initial_backoff, retry_max_backoff, retry_multiplier, retry_jitter, timeout, version, created_at, "
    "updated_at, executed_at, request_id, worker_id, lease_expires_at, deleted_at, lost_leases, priority, "
    "concurrency_key, schedule_id, nominal_time, is_next, local_time, time_zone"
)
CLAIMED_COLUMNS = (
    "task_id, name, queue, execution_time, task_data, error_message, retry_count, max_retries, retry_initial_backoff, "
    "retry_max_backoff, retry_multiplier, retry_jitter, timeout, version, created_at, request_id, lost_leases, "
    "priority, concurrency_key, schedule_id, nominal_time, local_time, time_zone"
)
"""What differs between tasks that one claim took: thousands a second, of which reading each column costs."""
LOG_COLUMNS = "task_id, version, status, change, error_message, timestamp, execution_time, retry_count, actor, duration"


def read_task(row: sa.Row[Any]) -> task.Task:
    """Returns the task of a row that begins with TASK_COLUMNS."""
    values = list(row)
    values[3] = task.Status(values[3])
    values[10:14] = [task.RetryPolicy(*values[10:14])]
    return task.Task(*values[:28])


def read_claimed(row: Sequence[Any], *, worker_id: str, lease: datetime.timedelta, now: datetime.datetime) -> task.Task:
    """Returns the task of a row that begins with CLAIMED_COLUMNS, which that worker claimed then for `lease`."""
    return task.Task(
        row[0],
        row[1],
        row[2],
        task.Status.RUNNING,
        row[3],
        row[4],
        None,  # result: it is cleared with every retry
        row[5],
        row[6],
        row[7],
        task.RetryPolicy(row[8], row[9], row[10], row[11]),
        row[12],
        row[13],
        row[14],
        now,
        now,
        row[15],
        worker_id,
        now + lease,
        None,  # deleted_at
        row[16],
        row[17],
        row[18],
        row[19],
        row[20],
        False,  # is_next
        row[21],
        row[22],
    )


def read_log(row: sa.Row[Any]) -> task.TaskLog:
    """Returns the log row of a row that begins with LOG_COLUMNS."""
    values = list(row)
    values[2] = task.Status(values[2])
    return task.TaskLog(*values[:10])


def write_log(changed: str, *, change: str, actor: str = ":actor", error: str = "NULL", duration: str = "NULL") -> str:
    """Returns the CTE that logs each row of the CTE `changed`; the arguments are SQL expressions over it."""
    return f"""logged AS (
        INSERT INTO task_logs
            (task_id, version, status, change, error_message, execution_time, retry_count, actor, duration)
        SELECT task_id, version, status, {change}, {error}, execution_time, retry_count, {actor}, {duration}
        FROM {changed}
    )"""
