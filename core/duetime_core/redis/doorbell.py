"""The doorbell: it sends wakeups to workers, and hints of changed tasks and API keys to servers and workers.

It is best effort: it never blocks and never fails. Tasks whose wakeup is lost are found by the sweep within a
second.
"""

import asyncio
import contextlib
import datetime
import functools
import json
from collections.abc import Collection, Iterable

import redis.exceptions

from duetime_core.model import task
from duetime_core.redis import client as redis_client
from duetime_core.redis import wakeup

DRAIN_SECONDS = 2.0
"""How long a stopping process waits for its last messages. The sweep makes up for lost ones."""

_LONGEST_COMMIT = datetime.timedelta(seconds=1)
"""A commit that takes longer may miss its wakeup; the sweep finds its tasks, which are late anyway."""
_MOST_QUEUES = 1000
"""Callers choose queue names, so this bounds memory. Forgetting an armed wakeup costs one redundant message."""
_ROUND = 50
"""How many wakeups are sent together: 3 ms of work, for which other messages wait."""


_Queue = tuple[int, str]
"""A namespace, and the name of a queue in it."""


class Doorbell:
    """Batches messages while earlier ones are being sent; `run` sends them."""

    def __init__(self, client: redis_client.Client) -> None:
        self._client = client
        self._armed: dict[_Queue, int] = {}  # the earliest slot that this process armed last
        self._wakeups: dict[datetime.datetime, dict[tuple[_Queue, int], None]] = {}  # by commit
        self._hints: dict[str, set[int | str]] = {}  # by channel
        self._rung = asyncio.Event()
        self._silent = asyncio.Event()
        self._silent.set()
        self._outage = redis_client.RedisOutage("tasks and watches continue, up to a second late")

    def arm(self, namespace_id: int, queue: str, due_at: datetime.datetime, *, now: datetime.datetime) -> None:
        """Arms a wakeup for a task of `queue` in a namespace; both times by the database's clock.

        One that is armed for an earlier slot is enough, because its claim finds the next due time and arms it, provided
        that the wakeup comes after the commit: `now` is when the statement began.
        """
        if due_at - now > wakeup.HORIZON:
            return
        slot = max(wakeup.slot_of(due_at), wakeup.slot_of(now) + 1)  # the present slot's may be running already
        if wakeup.slot_of(now + _LONGEST_COMMIT) < self._armed.get((namespace_id, queue), 0) <= slot:
            return
        if len(self._armed) >= _MOST_QUEUES:
            self._armed.clear()
        self._armed[namespace_id, queue] = slot
        self._wakeups.setdefault(now, {})[(namespace_id, queue), slot] = None
        self._ring()

    def announce(self, changed: Collection[task.Changed]) -> None:
        """Sends a hint that these tasks changed, and arms a wakeup for each that is pending."""
        for each in changed:
            if each.status is task.Status.PENDING:
                self.arm(each.namespace_id, each.queue, each.execution_time, now=each.now)
        self.changed([each.task_id for each in changed])

    def changed(self, task_ids: Iterable[int]) -> None:
        """Sends a hint that these tasks changed."""
        self._hint(self._client.names.changes, task_ids)

    def cancelled(self, task_ids: Iterable[int]) -> None:
        """Sends a hint that these tasks were cancelled to the workers that may run them."""
        self._hint(self._client.names.cancellations, task_ids)

    def keys_changed(self, key_ids: Iterable[str]) -> None:
        """Sends a hint to the servers that these API keys were rotated or revoked."""
        self._hint(self._client.names.keys, key_ids)

    def _hint(self, channel: str, ids: Iterable[int | str]) -> None:
        if gathered := set(ids):
            self._hints.setdefault(channel, set()).update(gathered)
            self._ring()

    async def drain(self) -> None:
        """Waits until what was rung is sent or dropped, or DRAIN_SECONDS are over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._silent.wait()

    async def run(self) -> None:
        """Sends messages indefinitely. While Redis is unavailable, they are dropped."""
        try:
            while True:
                await self._rung.wait()
                self._rung.clear()
                try:
                    await self._send()
                except (redis.exceptions.RedisError, OSError) as error:
                    self._armed.clear()
                    self._wakeups.clear()
                    self._outage.begin(error)
                else:
                    self._outage.end()
                if not self._rung.is_set():
                    self._silent.set()
        finally:
            self._silent.set()  # nothing is sent any more

    async def _send(self) -> None:
        hints, self._hints = self._hints, {}
        for channel, ids in hints.items():
            await self._client.publish(channel, json.dumps(list(ids)))
        if wakeups := self._next_round():
            await self._client.transaction(functools.partial(wakeup.enqueue, wakeups, self._client.names))
        if self._wakeups:
            self._ring()

    def _next_round(self) -> list[wakeup.Wakeup]:
        """Takes the next wakeups, smallest commits first, so that one with thousands of queues delays no other."""
        taken: list[wakeup.Wakeup] = []
        while self._wakeups and len(taken) < _ROUND:
            now = min(self._wakeups, key=lambda commit: len(self._wakeups[commit]))
            commit = self._wakeups[now]
            while commit and len(taken) < _ROUND:
                (namespace_id, queue), slot = first = next(iter(commit))
                del commit[first]
                taken.append(wakeup.Wakeup(namespace_id, queue, slot, now))
            if not commit:
                del self._wakeups[now]
        return taken

    def _ring(self) -> None:
        self._rung.set()
        self._silent.clear()
