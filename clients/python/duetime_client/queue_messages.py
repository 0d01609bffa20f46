"""Converts queues and workers from messages, and builds the requests about them."""

from __future__ import annotations

from typing import Any

from google.protobuf import struct_pb2

from duetime.v1 import queue_pb2, queue_service_pb2
from duetime_client import moment, queue, request, scalar

_LIMITS = ("max_running", "max_per_second", "max_running_per_key", "max_per_second_per_key")


def to_queue(message: queue_pb2.Queue) -> queue.Queue:
    """Returns the message as a Queue."""
    given = {descriptor.name: value for descriptor, value in message.ListFields()}
    limits = {name: given.get(name) for name in _LIMITS}
    return queue.Queue(
        name=message.name,
        paused=message.paused,
        **limits,
        depth=message.depth,
        oldest_due=moment.from_timestamp(message.oldest_due) if message.HasField("oldest_due") else None,
        running=message.running,
        rate=message.rate,
        workers=message.workers,
        depth_capped=message.depth_capped,
    )


def to_log(message: queue_pb2.QueueLog) -> queue.QueueLog:
    """Returns the message as a QueueLog."""
    changes = (queue.FieldChange(each.field, _value(each.before), _value(each.after)) for each in message.changes)
    return queue.QueueLog(
        queue=message.queue,
        change=message.change,
        changes=tuple(changes),
        actor=message.actor,
        timestamp=moment.from_timestamp(message.timestamp),
    )


def _value(message: struct_pb2.Value) -> float | bool | None:
    match message.WhichOneof("kind"):
        case "bool_value":
            return message.bool_value
        case "number_value":
            number = message.number_value
            return int(number) if number.is_integer() else number
        case _:
            return None


def to_worker(message: queue_pb2.Worker) -> queue.Worker:
    """Returns the message as a Worker."""
    return queue.Worker(
        worker_id=message.worker_id,
        queues=tuple(message.queues),
        handlers=tuple(message.handlers),
        concurrency=message.concurrency,
        running=message.running,
        started_at=moment.from_timestamp(message.started_at),
        last_heartbeat_at=moment.from_timestamp(message.last_heartbeat_at),
        alive=message.alive,
    )


def update_queue(name: str, changes: dict[str, Any], allow_missing: bool) -> queue_service_pb2.UpdateQueueRequest:
    """Returns the request that changes the fields that are not UNSET, and removes the limits that are None."""
    given = {field: value for field, value in changes.items() if value is not request.UNSET}
    if not given:
        raise request.nothing_to_change()
    message = queue_service_pb2.UpdateQueueRequest()
    scalar.filled(message, name=name, allow_missing=allow_missing)
    for field, value in given.items():
        if value is not None:
            scalar.assign(message, field, field, value)
    message.update_mask.paths.extend(given)
    return message
