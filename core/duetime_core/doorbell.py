"""Ringing: telling workers when to look for tasks, and servers and workers which tasks changed.

Ringing is best effort. It never waits, never fails and holds nothing up: what Redis does not carry, the
sweep finds within a second.
"""

import asyncio
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


class Doorbell:
    """Gathers rings while the ones before them are on their way; `run` sends them."""

    def __init__(self, client: arq.connections.ArqRedis) -> None:
        self._client = client
        self._armed: dict[str, int] = {}  # by queue: the earliest slot that this process armed last
        self._wakeups: set[tuple[str, int]] = set()
        self._hints: dict[str, set[int]] = {}
        self._rung = asyncio.Event()
        self._silent = asyncio.Event()
        self._silent.set()
        self._outage = outage.Outage("redis", "tasks still run and watches go on, up to a second late")

    def arm(self, queue: str, due_at: datetime.datetime, *, now: datetime.datetime) -> None:
        """Arms a wakeup for a task of `queue`; both times by the database's clock.

        One that is armed for an earlier slot is enough: its claim learns what is due next, and arms that.
        """
        if due_at - now > wakeup.HORIZON:
            return
        slot = max(wakeup.slot_of(due_at), wakeup.slot_of(now) + 1)  # the present slot's may be running already
        if wakeup.slot_of(now) < self._armed.get(queue, 0) <= slot:
            return
        self._armed[queue] = slot
        self._wakeups.add((queue, slot))
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
        """Waits until what was rung is sent, or dropped."""
        await self._silent.wait()

    async def run(self) -> None:
        """Sends what is rung, for ever. While Redis is gone, rings are dropped."""
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

    async def _send(self) -> None:
        hints, self._hints = self._hints, {}
        wakeups, self._wakeups = self._wakeups, set()
        for channel, task_ids in hints.items():
            await self._client.publish(channel, json.dumps(list(task_ids)))
        for queue, slot in sorted(wakeups):
            await self._client.enqueue_job(
                wakeup.FUNCTION,
                queue,
                _job_id=wakeup.job_id(queue, slot),
                _queue_name=wakeup.arq_queue(queue),
                _defer_until=wakeup.start_of(slot),
            )

    def _ring(self) -> None:
        self._rung.set()
        self._silent.clear()
