"""The format of wakeups: arq jobs that make a worker claim. They carry no task.

A wakeup is deferred until a slot, 10 ms wide, of its queue's time. All tasks due in a slot share it, and only
the next minute is armed, so Redis holds O(queues × slots), never O(tasks).
"""

import datetime
import json
from collections.abc import Iterable
from typing import NamedTuple

import arq.constants
import arq.jobs
import redis.asyncio.client

FUNCTION = "wakeup"
"""The name of the arq job; its one argument is the queue."""
SLOT = datetime.timedelta(milliseconds=10)
HORIZON = datetime.timedelta(minutes=1)
"""Later wakeups are armed by the sweep, when their time is near."""
KEPT = 2 * HORIZON
"""How long Redis keeps an armed wakeup, and the key of its queue, if no worker takes it."""
_STALE = datetime.timedelta(seconds=5)
"""After this, a wakeup that no worker took is dropped: no worker serves its queue, or all are busy."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Wakeup(NamedTuple):
    """An armed wakeup. `now` is the start of the statement that created its task or found its due time."""

    queue: str
    slot: int
    now: datetime.datetime


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
    """Serializes an arq job as JSON. arq's default is pickle, which would execute what Redis holds."""
    return json.dumps(job, default=str).encode()


deserialize = json.loads


def enqueue(wakeups: Iterable[Wakeup], transaction: redis.asyncio.client.Pipeline) -> None:
    """Adds the commands to a transaction that enqueue wakeups as arq's `enqueue_job` does, and drop stale ones.

    arq's own takes three round trips for each, and leaves the key of the queue in Redis indefinitely.
    """
    kept = KEPT // datetime.timedelta(milliseconds=1)
    for queue, slot, now in wakeups:
        name, job = arq_queue(queue), job_id(queue, slot)
        serialized = arq.jobs.serialize_job(FUNCTION, (queue,), {}, None, _milliseconds(now), serializer=serialize)
        transaction.zremrangebyscore(name, "-inf", _milliseconds(now - _STALE))
        transaction.set(arq.constants.job_key_prefix + job, serialized, px=kept, nx=True)
        transaction.zadd(name, {job: _milliseconds(start_of(slot))}, nx=True)
        transaction.pexpire(name, kept)


def _milliseconds(moment: datetime.datetime) -> int:
    return (moment - _EPOCH) // datetime.timedelta(milliseconds=1)
