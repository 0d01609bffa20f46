"""Converts the server's messages about tasks to this package's dataclasses."""

from duetime.v1 import task_pb2
from duetime_client import moment, payload, task, task_log


def status(value: task_pb2.Task.Status.ValueType) -> task.Status:
    """Returns the Status of the contract's enum value."""
    return task.Status(task_pb2.Task.Status.Name(value))


def to_task(message: task_pb2.Task) -> task.Task:
    """Returns the message as a Task."""
    return task.Task(
        task_id=message.task_id,
        name=message.name,
        queue=message.queue,
        status=status(message.status),
        execution_time=moment.from_timestamp(message.execution_time),
        task_data=payload.from_struct(message.task_data),
        result=payload.from_struct(message.result) if message.HasField("result") else None,
        error_message=message.error_message,
        retry_count=message.retry_count,
        max_retries=message.max_retries,
        retry_policy=to_retry_policy(message.retry_policy),
        timeout=moment.from_duration(message.timeout) if message.HasField("timeout") else None,
        version=message.version,
        created_at=moment.from_timestamp(message.created_at),
        updated_at=moment.from_timestamp(message.updated_at),
        executed_at=moment.from_timestamp(message.executed_at) if message.HasField("executed_at") else None,
        request_id=message.request_id,
        worker_id=message.worker_id,
        lease_expires_at=(
            moment.from_timestamp(message.lease_expires_at) if message.HasField("lease_expires_at") else None
        ),
        priority=message.priority,
        concurrency_key=message.concurrency_key,
        schedule_id=message.schedule_id,
        nominal_time=moment.from_timestamp(message.nominal_time) if message.HasField("nominal_time") else None,
        local_time=message.local_time,
        time_zone=message.time_zone,
    )


def to_retry_policy(message: task_pb2.RetryPolicy) -> task.RetryPolicy:
    """Returns the message as a RetryPolicy."""
    return task.RetryPolicy(
        initial_backoff=(
            moment.from_duration(message.initial_backoff) if message.HasField("initial_backoff") else None
        ),
        max_backoff=moment.from_duration(message.max_backoff) if message.HasField("max_backoff") else None,
        multiplier=message.multiplier if message.HasField("multiplier") else None,
        jitter=message.jitter if message.HasField("jitter") else None,
    )


def to_task_log(message: task_pb2.TaskLog) -> task_log.TaskLog:
    """Returns the message as a TaskLog."""
    return task_log.TaskLog(
        task_id=message.task_id,
        version=message.version,
        status=status(message.status),
        change=message.change,
        timestamp=moment.from_timestamp(message.timestamp),
        execution_time=moment.from_timestamp(message.execution_time),
        retry_count=message.retry_count,
        error_message=message.error_message,
        actor=message.actor,
        duration=moment.from_duration(message.duration) if message.HasField("duration") else None,
        queue=message.queue,
        name=message.name,
        previous_queue=message.previous_queue,
        previous_name=message.previous_name,
    )
