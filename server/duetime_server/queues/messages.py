"""Writes queues, their logs and workers as protobuf."""

from google.protobuf import struct_pb2

from duetime.v1 import queue_pb2
from duetime_core.model import queue, worker
from duetime_server.queues import requests
from duetime_server.tasks import messages as task_messages


def from_queue(row: queue.Queue) -> queue_pb2.Queue:
    """Returns a queue as protobuf."""
    limits = row.limits
    return queue_pb2.Queue(
        name=row.name,
        paused=limits.is_paused,
        max_running=limits.max_running,
        max_per_second=limits.max_per_second,
        max_running_per_key=limits.max_running_per_key,
        max_per_second_per_key=limits.max_per_second_per_key,
        depth=row.depth,
        depth_capped=row.is_deeper,
        oldest_due=None if row.oldest_due is None else task_messages.timestamp(row.oldest_due),
        running=row.running,
        rate=row.rate,
        workers=row.workers,
    )


def from_log(row: queue.QueueLog) -> queue_pb2.QueueLog:
    """Returns a row of a queue's log as protobuf."""
    return queue_pb2.QueueLog(
        queue=row.queue,
        change=row.change,
        changes=[
            queue_pb2.QueueLog.FieldChange(
                field=requests.FIELDS[each.field], before=_value(each.before), after=_value(each.after)
            )
            for each in row.changes
        ],
        actor=row.actor,
        timestamp=task_messages.timestamp(row.timestamp),
    )


def _value(value: float | bool | None) -> struct_pb2.Value | None:
    match value:
        case None:
            return None
        case bool():
            return struct_pb2.Value(bool_value=value)
        case _:
            return struct_pb2.Value(number_value=value)


def from_worker(row: worker.Worker) -> queue_pb2.Worker:
    """Returns a worker as protobuf."""
    return queue_pb2.Worker(
        worker_id=row.worker_id,
        queues=row.queues,
        handlers=row.handlers,
        concurrency=row.concurrency,
        running=row.running,
        started_at=task_messages.timestamp(row.started_at),
        last_heartbeat_at=task_messages.timestamp(row.last_heartbeat_at),
        alive=row.is_alive,
    )
