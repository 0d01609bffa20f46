"""Writes tasks and their logs as protobuf."""

import datetime
from typing import Any

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2

from duetime.v1 import task_pb2, task_service_pb2
from duetime_core.model import schedule, task


def from_task(row: task.Task) -> task_pb2.Task:
    """Returns a task as protobuf."""
    return task_pb2.Task(
        **settable(row),
        task_id=row.task_id,
        status=status(row.status),
        execution_time=timestamp(row.execution_time),
        result=None if row.result is None else struct(row.result),
        error_message=row.error_message or "",
        retry_count=row.retry_count,
        version=row.version,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
        executed_at=None if row.executed_at is None else timestamp(row.executed_at),
        request_id=row.request_id or "",
        worker_id=row.worker_id or "",
        lease_expires_at=None if row.lease_expires_at is None else timestamp(row.lease_expires_at),
        schedule_id=row.schedule_id or 0,
        nominal_time=None if row.nominal_time is None else timestamp(row.nominal_time),
        local_time="" if row.local_time is None else row.local_time.isoformat(),
        time_zone=row.time_zone or "",
    )


def settable(row: task.Task | schedule.Template) -> dict[str, Any]:
    """Returns the fields that a task and a schedule's template share, as protobuf: `settable.TEMPLATE`."""
    return {
        "name": row.name,
        "queue": row.queue,
        "task_data": struct(row.task_data),
        "max_retries": row.max_retries,
        "retry_policy": retry_policy(row.retry_policy),
        "timeout": None if row.timeout is None else duration(row.timeout),
        "priority": row.priority,
        "concurrency_key": row.concurrency_key or "",
    }


def retry_policy(policy: task.RetryPolicy) -> task_pb2.RetryPolicy:
    """Returns a retry policy as protobuf."""
    return task_pb2.RetryPolicy(
        initial_backoff=duration(policy.initial_backoff),
        max_backoff=duration(policy.max_backoff),
        multiplier=policy.multiplier,
        jitter=policy.jitter,
    )


def from_log(row: task.TaskLog) -> task_pb2.TaskLog:
    """Returns a log row as protobuf."""
    return task_pb2.TaskLog(
        task_id=row.task_id,
        version=row.version,
        status=status(row.status),
        change=row.change,
        timestamp=timestamp(row.timestamp),
        execution_time=timestamp(row.execution_time),
        retry_count=row.retry_count,
        error_message=row.error_message or "",
        actor=row.actor,
        duration=None if row.duration is None else duration(row.duration),
        queue=row.queue or "",
        name=row.name or "",
        previous_queue=row.previous_queue or "",
        previous_name=row.previous_name or "",
    )


def change_event(row: task.TaskLog, cursor: str) -> task_service_pb2.TaskEvent:
    """Returns the event of a change."""
    return task_service_pb2.TaskEvent(cursor=cursor, change=from_log(row))


def heartbeat_event(cursor: str) -> task_service_pb2.TaskEvent:
    """Returns the event that shows that a silent watch is open."""
    return task_service_pb2.TaskEvent(cursor=cursor, heartbeat=task_service_pb2.TaskEvent.Heartbeat())


def end_event(reason: str, cursor: str) -> task_service_pb2.TaskEvent:
    """Returns the event that ends a watch."""
    return task_service_pb2.TaskEvent(cursor=cursor, end=task_service_pb2.TaskEvent.End(reason=reason))


def status(value: task.Status) -> task_pb2.Task.Status.ValueType:
    """Returns the enum's value of the same name."""
    return task_pb2.Task.Status.Value(value)


def timestamp(value: datetime.datetime) -> timestamp_pb2.Timestamp:
    """Returns an aware time as protobuf."""
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(value)
    return message


def duration(value: datetime.timedelta) -> duration_pb2.Duration:
    """Returns a duration as protobuf."""
    message = duration_pb2.Duration()
    message.FromTimedelta(value)
    return message


def struct(value: dict[str, Any]) -> struct_pb2.Struct:
    """Returns a JSON object as protobuf."""
    message = struct_pb2.Struct()
    message.update(value)
    return message
