"""The contract of wakeups: arq jobs that say "look now". They carry no task.

A wakeup is deferred until a slot, 10 ms wide, of its queue's time. All tasks due in a slot share it, and only
the next minute is armed, so Redis holds O(queues × slots), never O(tasks).
"""

import datetime
import json

FUNCTION = "wakeup"
"""The name of the arq job; its one argument is the queue."""
SLOT = datetime.timedelta(milliseconds=10)
HORIZON = datetime.timedelta(minutes=1)
"""Wakeups further away are armed by the sweep, when their time comes nearer."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def slot_of(moment: datetime.datetime) -> int:
    """Returns the number of the first slot that begins at or after `moment`: never early."""
    return -((_EPOCH - moment) // SLOT)


def start_of(slot: int) -> datetime.datetime:
    """Returns when that slot begins."""
    return _EPOCH + slot * SLOT


def job_id(queue: str, slot: int) -> str:
    """Returns arq's job id, which keeps a slot from being armed twice."""
    return f"wakeup:{queue}:{slot}"


def arq_queue(queue: str) -> str:
    """Returns the arq queue in which the wakeups of a task queue wait."""
    return f"duetime:wakeups:{queue}"


def serialize(job: object) -> bytes:
    """Serializes an arq job as JSON; arq's default is pickle, which runs whatever Redis holds."""
    return json.dumps(job, default=str).encode()


deserialize = json.loads
