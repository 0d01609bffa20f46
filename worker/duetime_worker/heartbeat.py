"""Presence: a worker makes itself known, for people who ask who serves a queue and why a task does not run."""

import asyncio
import collections
import contextlib
import time
from collections.abc import Collection, Mapping

from duetime_core.model import errors, worker
from duetime_core.store.queues import handlers as announcements
from duetime_core.store.queues import workers
from duetime_worker import context, handlers, registry, runner

INTERVAL_SECONDS = 5.0
_ANNOUNCE_SECONDS = 600.0
_FAREWELL_SECONDS = 1.0


class HeartbeatSender:
    """Gives a sign of life each 5 s. A worker does its work all the same while that cannot be written."""

    def __init__(
        self,
        here: context.Context,
        runs: runner.Runner,
        *,
        queues: Collection[str],
        handlers: Mapping[str, handlers.Handler],
        concurrency: int,
    ) -> None:
        self._here = here
        self._runs = runs
        self._queues = sorted(queues)
        self._handlers = sorted(handlers)
        self._concurrency = concurrency
        self._own = {name: handler.retries for name, handler in registry.own(handlers).items()}
        self._told_at = time.monotonic()
        self._announced_at: float | None = None

    async def run(self) -> None:
        """Gives signs of life, for ever."""
        while True:
            try:
                await self.announce()
                await workers.heartbeat(self._here.engine, self._sign())
            except errors.StoreUnavailable as error:
                self._here.database_outage.begin(error)
            else:
                self._here.database_outage.end()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def announce(self) -> None:
        """Announces the handlers of this worker's user, when it has not done so lately. Raises StoreUnavailable."""
        now, last = time.monotonic(), self._announced_at
        if last is None or now - last > _ANNOUNCE_SECONDS:
            await announcements.announce(self._here.engine, self._own, is_first=last is None)
            self._announced_at = now

    async def leave(self) -> None:
        """Says that this worker stops in order. A database that is gone does not hold it up."""
        with contextlib.suppress(errors.StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await workers.remove(self._here.engine, self._here.worker_id)

    def _sign(self) -> worker.Heartbeat:
        now = time.monotonic()
        seconds, self._told_at = max(now - self._told_at, 0.001), now
        begun, self._runs.begun = self._runs.begun, collections.Counter()
        rates = {queue: round(count / seconds, 3) for queue, count in begun.items()}
        return worker.Heartbeat(
            self._here.worker_id, self._queues, self._handlers, self._concurrency, len(self._runs.versions), rates
        )
