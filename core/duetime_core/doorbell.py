"""Ringing: telling workers when to look for tasks, and servers and workers which tasks changed.

Ringing is best effort. It never waits, never fails and holds nothing up: what Redis does not carry, the
sweep finds within a second.
"""

import asyncio
import contextlib
import datetime
import json
from collections.abc import Iterable

import arq.connections
import redis.exceptions

from duetime_core import outage, wakeup

CHANGES = "duetime:changes"
"""The channel that carries the ids of tasks that changed, as a JSON list, once per commit."""
CANCELLATIONS = "duetime:cancellations"
"""The channel that carries the ids of tasks that were cancelled, in the same form."""

DRAIN_SECONDS = 2.0
"""How long a process that stops waits for its last rings, which the sweep makes up for."""

_LONGEST_COMMIT = datetime.timedelta(seconds=1)
"""A commit that takes longer may miss its wakeup; the sweep finds its tasks, as late as they are anyway."""
_STALE = datetime.timedelta(seconds=5)
_MOST_QUEUES = 1000
"""Queue names are the callers' to choose; forgetting what is armed costs a ring too many."""


class Doorbell:
    """Gathers rings while the ones before them are on their way; `run` sends them."""

    def __init__(self, client: arq.connections.ArqRedis) -> None:
        self._client = client
        self._armed: dict[str, int] = {}  # by queue: the earliest slot that this process armed last
        self._wakeups: dict[tuple[str, int], datetime.datetime] = {}  # (queue, slot) → now
        self._hints: dict[str, set[int]] = {}
        self._rung = asyncio.Event()
        self._silent = asyncio.Event()
        self._silent.set()
        self._outage = outage.Outage("redis", "tasks still run and watches go on, up to a second late")

    def arm(self, queue: str, due_at: datetime.datetime, *, now: datetime.datetime) -> None:
        """Arms a wakeup for a task of `queue`; both times by the database's clock.

        One that is armed for an earlier slot is enough, because its claim learns what is due next and arms that, if
        it comes for sure after the commit: `now` is when the statement began.
        """
        if due_at - now > wakeup.HORIZON:
            return
        slot = max(wakeup.slot_of(due_at), wakeup.slot_of(now) + 1)  # the present slot's may be running already
        if wakeup.slot_of(now + _LONGEST_COMMIT) < self._armed.get(queue, 0) <= slot:
            return
        if len(self._armed) >= _MOST_QUEUES:
            self._armed.clear()
        self._armed[queue] = slot
        self._wakeups[queue, slot] = now
        self._ring()

    def changed(self, task_ids: Iterable[int]) -> None:
        """Says that these tasks changed."""
        self._hint(CHANGES, task_ids)

    def cancelled(self, task_ids: Iterable[int]) -> None:
        """Says that these tasks were cancelled, to the workers that may run them."""
        self._hint(CANCELLATIONS, task_ids)

    def _hint(self, channel: str, task_ids: Iterable[int]) -> None:
        if gathered := set(task_ids):
            self._hints.setdefault(channel, set()).update(gathered)
            self._ring()

    async def drain(self) -> None:
        """Waits until what was rung is sent or dropped, or DRAIN_SECONDS are over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._silent.wait()

    async def run(self) -> None:
        """Sends what is rung, for ever. While Redis is gone, rings are dropped."""
        try:
            while True:
                await self._rung.wait()
                self._rung.clear()
                try:
                    await self._send()
                except (redis.exceptions.RedisError, OSError) as error:
                    self._armed.clear()
                    self._outage.begin(error)
                else:
                    self._outage.end()
                if not self._rung.is_set():
                    self._silent.set()
        finally:
            self._silent.set()  # nothing is sent any more

    async def _send(self) -> None:
        hints, self._hints = self._hints, {}
        wakeups, self._wakeups = self._wakeups, {}
        for channel, task_ids in hints.items():
            await self._client.publish(channel, json.dumps(list(task_ids)))
        for queue in {queue for queue, _ in wakeups}:
            # What nobody took, because no worker serves the queue or all are busy, says nothing any more.
            stale = max(now for (other, _), now in wakeups.items() if other == queue) - _STALE
            await self._client.zremrangebyscore(wakeup.arq_queue(queue), "-inf", stale.timestamp() * 1000)
        for queue, slot in sorted(wakeups):
            await self._client.enqueue_job(
                wakeup.FUNCTION,
                queue,
                _job_id=wakeup.job_id(queue, slot),
                _queue_name=wakeup.arq_queue(queue),
                _defer_until=wakeup.start_of(slot),
                _expires=2 * wakeup.HORIZON,
            )

    def _ring(self) -> None:
        self._rung.set()
        self._silent.clear()
