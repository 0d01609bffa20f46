"""Heartbeats: the row by which ListWorkers, ListQueues and ExplainTask know a worker. Claims do not depend on it."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping

from duetime_core.model import errors, worker
from duetime_core.store.queues import handlers as announcements
from duetime_core.store.queues import workers
from duetime_worker import context, handlers, registry, runner

INTERVAL_SECONDS = 5.0
ATTEMPT_SECONDS = INTERVAL_SECONDS / 2
"""How long one may take. If it hangs, the next one must still arrive before the worker counts as dead."""
_ANNOUNCE_SECONDS = 600.0
_LEAVE_SECONDS = 1.0


class HeartbeatSender:
    """Sends a heartbeat every 5 s. The worker continues to work while the database is unavailable."""

    def __init__(
        self,
        here: context.Context,
        runner: runner.Runner,
        *,
        queues: Collection[str],
        handlers: Mapping[str, handlers.Handler],
        concurrency: int,
    ) -> None:
        self._here = here
        self._runner = runner
        self._queues = sorted(queues)
        self._handlers = sorted(handlers)
        self._concurrency = concurrency
        self._own_retries = {name: handler.retries for name, handler in registry.own(handlers).items()}
        self._counted_at = time.monotonic()
        self._announced_at: float | None = None

    async def run(self) -> None:
        """Sends heartbeats until cancelled."""
        while True:
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    await self.announce()
                    await workers.heartbeat(self._here.engine, self._heartbeat())
            except (errors.StoreUnavailable, TimeoutError) as error:
                self._here.database_outage.begin(error)
            else:
                self._here.database_outage.end()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def announce(self) -> None:
        """Announces the user's handlers, at most every ten minutes. Raises StoreUnavailable."""
        now, last = time.monotonic(), self._announced_at
        if last is None or now - last > _ANNOUNCE_SECONDS:
            await announcements.announce(self._here.engine, self._own_retries, is_first=last is None)
            self._announced_at = now

    async def leave(self) -> None:
        """Deletes the worker's row when it stops normally. An unavailable database does not delay that."""
        with contextlib.suppress(errors.StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await workers.remove(self._here.engine, self._here.worker_id)

    def _heartbeat(self) -> worker.Heartbeat:
        now = time.monotonic()
        seconds, self._counted_at = max(now - self._counted_at, 0.001), now
        rates = {queue: round(count / seconds, 3) for queue, count in self._runner.take_counts().items()}
        return worker.Heartbeat(
            self._here.worker_id,
            self._queues,
            self._handlers,
            self._concurrency,
            len(self._runner.versions),
            rates,
            max(0, self._runner.free_slots),
        )
