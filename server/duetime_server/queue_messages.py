"""Writing answers about queues: from what `core` works with to protobuf."""

from duetime.v1 import queue_pb2
from duetime_core import queue
from duetime_server import messages


def from_queue(row: queue.Queue) -> queue_pb2.Queue:
    """Returns a queue as the API shows it."""
    control = row.control
    return queue_pb2.Queue(
        name=row.name,
        paused=control.is_paused,
        max_running=control.max_running,
        max_per_second=control.max_per_second,
        max_running_per_key=control.max_running_per_key,
        max_per_second_per_key=control.max_per_second_per_key,
        depth=row.depth,
        oldest_due=None if row.oldest_due is None else messages.timestamp(row.oldest_due),
        running=row.running,
        rate=row.rate,
        workers=row.workers,
    )
