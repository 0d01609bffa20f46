"""The format of wakeups: arq jobs that make a worker claim. They carry no task.

A wakeup is deferred until a slot, 10 ms wide, of its queue's time. All tasks due in a slot share it, and only
the next minute is armed, so Redis holds O(queues × slots), never O(tasks).
"""

import datetime
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import arq.connections
import arq.constants
import arq.jobs
import arq.utils
import redis.asyncio.client

from duetime_core.redis import names

FUNCTION = "wakeup"
"""The name of the arq job; its one argument is the queue."""
SLOT = datetime.timedelta(milliseconds=10)
HORIZON = datetime.timedelta(minutes=1)
"""Later wakeups are armed by the sweep, when their time is near."""
KEPT = 2 * HORIZON
"""How long Redis keeps an armed wakeup, and the key of its queue, if no worker takes it."""
_STALE = datetime.timedelta(seconds=5)
"""After this, a wakeup that no worker took is dropped: no worker serves its queue, or all are busy."""

_MOST_READ = 100
"""Of one queue. More are due only after an outage, and the first makes a worker claim all that is due."""
_DUE = """
local found = {}
for number, key in ipairs(KEYS) do
    local job_ids = redis.call('ZRANGEBYSCORE', key, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    if #job_ids > 0 then
        found[#found + 1] = {number, job_ids}
    end
end
return found
"""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Wakeup(NamedTuple):
    """An armed wakeup. `now` is the start of the statement that created its task or found its due time."""

    namespace_id: int
    queue: str
    slot: int
    now: datetime.datetime


def slot_of(moment: datetime.datetime) -> int:
    """Returns the number of the first slot that begins at or after `moment`: never early."""
    return -((_EPOCH - moment) // SLOT)


def start_of(slot: int) -> datetime.datetime:
    """Returns when that slot begins."""
    return _EPOCH + slot * SLOT


class DueWakeups:
    """The due wakeups of some queues of a namespace. Those of others are left to the workers that serve them."""

    def __init__(
        self, client: arq.connections.ArqRedis, named: names.Names, namespace_id: int, queues: Sequence[str]
    ) -> None:
        self._queues = queues
        self._keys = [named.wakeups(namespace_id, queue) for queue in queues]
        self._script = client.register_script(_DUE)

    async def read(self) -> dict[str, list[bytes]]:
        """Returns the arq job ids of the queues that have some, in one round trip. Raises RedisError."""
        found = await self._script(keys=self._keys, args=[arq.utils.timestamp_ms(), _MOST_READ])
        return {self._queues[number - 1]: job_ids for number, job_ids in found}


def serialize(job: object) -> bytes:
    """Serializes an arq job as JSON. arq's default is pickle, which would execute what Redis holds."""
    return json.dumps(job, default=str).encode()


deserialize = json.loads


def enqueue(wakeups: Iterable[Wakeup], named: names.Names, transaction: redis.asyncio.client.Pipeline) -> None:
    """Adds the commands to a transaction that enqueue wakeups as arq's `enqueue_job` does, and drop stale ones.

    arq's own takes three round trips for each, and leaves the key of the queue in Redis indefinitely.
    """
    kept = KEPT // datetime.timedelta(milliseconds=1)
    for namespace_id, queue, slot, now in wakeups:
        name, job = named.wakeups(namespace_id, queue), named.job_id(namespace_id, queue, slot)
        serialized = arq.jobs.serialize_job(FUNCTION, (queue,), {}, None, _milliseconds(now), serializer=serialize)
        transaction.zremrangebyscore(name, "-inf", _milliseconds(now - _STALE))
        transaction.set(arq.constants.job_key_prefix + job, serialized, px=kept, nx=True)
        transaction.zadd(name, {job: _milliseconds(start_of(slot))}, nx=True)
        transaction.pexpire(name, kept)


def _milliseconds(moment: datetime.datetime) -> int:
    return (moment - _EPOCH) // datetime.timedelta(milliseconds=1)
