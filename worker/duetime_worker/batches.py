"""Runs the tasks of a claim: in one asyncio task as long as their handlers do not wait."""

import asyncio
import collections
import dataclasses
import functools
import time
from collections.abc import Awaitable, Callable, Iterable

from duetime_worker.run import Run

_MOST_BLOCKED_SECONDS = 0.01
"""How long handlers that never wait may together keep the event loop from everything else, such as leases."""
_AHEAD_SECONDS = 0.05
"""For how long claimed tasks may wait for this worker to begin them: several times as long as a claim takes."""
_LEAST_AHEAD = 100


@dataclasses.dataclass(slots=True, eq=False)
class _Batch:
    runs: collections.deque[Run]  # that have not begun
    count: int
    since: float
    task: asyncio.Task[None] | None = None  # which begins the next one


class Batches:
    """Runs one task after another, until a handler waits for something: another asyncio task runs the rest.

    So what takes long, and may be cancelled, has an asyncio task for itself; the shortest handlers share one. Between
    two handlers that wait, and now and then between those that do not, the event loop does other work, so that the
    handlers of a large claim delay nothing longer than the slowest of them does.

    `run` runs one, and calls its second argument when that waits. `on_begun` is called when all of a claim have begun.
    """

    def __init__(self, run: Callable[[Run, Callable[[], None]], Awaitable[None]], on_begun: Callable[[], None]) -> None:
        self._run = run
        self._on_begun = on_begun
        self._running: set[asyncio.Task[None]] = set()  # the event loop keeps no reference to them
        self._waiting = 0
        self._most_waiting = _LEAST_AHEAD

    @property
    def room(self) -> int:
        """How many more tasks this worker begins soon, by its pace. More than that are for other workers."""
        return max(0, self._most_waiting - self._waiting)

    def start(self, runs: Iterable[Run]) -> None:
        """Begins to run these soon."""
        waiting = collections.deque(runs)
        self._waiting += len(waiting)
        self._begin_next(_Batch(waiting, len(waiting), time.monotonic()))

    def _begin_next(self, batch: _Batch) -> None:
        batch.task = asyncio.create_task(self._run_all(batch))
        self._running.add(batch.task)
        batch.task.add_done_callback(self._running.discard)

    async def _run_all(self, batch: _Batch) -> None:
        this = asyncio.current_task()
        assert this is not None
        on_wait = functools.partial(self._leave, batch, this)
        since = time.monotonic()
        try:
            while batch.task is this and batch.runs:
                self._waiting -= 1
                await self._run(batch.runs.popleft(), on_wait)
                if this.cancelling():  # its own handler did that
                    break
                if time.monotonic() - since > _MOST_BLOCKED_SECONDS and batch.task is this and batch.runs:
                    await asyncio.sleep(0)
                    since = time.monotonic()
        finally:
            on_wait()

    def _leave(self, batch: _Batch, this: asyncio.Task[None]) -> None:
        """Has another asyncio task begin the rest of a batch."""
        if batch.task is not this:
            return
        if batch.runs:
            self._begin_next(batch)
            return
        batch.task = None
        pace = batch.count / max(time.monotonic() - batch.since, 1e-6)
        self._most_waiting = max(_LEAST_AHEAD, round(_AHEAD_SECONDS * pace))
        self._on_begun()
