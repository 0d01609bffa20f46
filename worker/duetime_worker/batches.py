"""Runs the tasks of a claim: in one asyncio task as long as their handlers do not wait."""

import asyncio
import collections
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterable

from duetime_worker.run import Run

_MOST_BLOCKED_SECONDS = 0.01
"""How long the handlers of a claim may together keep the event loop from everything else, such as leases."""
_AHEAD_SECONDS = 0.05
"""For how long claimed tasks may wait for this worker to begin them: several times as long as a claim takes."""
_LEAST_AHEAD = 100
_AT_ONCE = _LEAST_AHEAD
"""Asyncio tasks that begin handlers in one iteration of the event loop, if all of these wait."""


@dataclasses.dataclass(slots=True, eq=False)
class _Batch:
    runs: collections.deque[Run]  # that have not begun
    count: int
    since: float
    turn_since: float | None = None  # when the first of this turn began
    waits: int = 0  # runs that began, and waited


class Batches:
    """Runs one task after another, until a handler waits for something: other asyncio tasks run the rest.

    So what takes long, and may be cancelled, has an asyncio task for itself; the shortest handlers share one. They
    begin in turns, one in each iteration of the event loop, so that a large claim delays everything else by no more
    than 10 ms and its slowest handler. An iteration may be long, if other coroutines have much to do. So a turn has as
    many asyncio tasks as handlers will wait, if the rest are like those that have begun.

    `run` runs one, and calls its second argument when that waits. `on_begun` is called when all of a claim have begun.
    """

    def __init__(
        self,
        run: Callable[[Run, Callable[[], None]], Awaitable[None]],
        on_begun: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._on_begun = on_begun
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()  # the event loop keeps no reference to them
        self._waiting = 0
        self._most_waiting = _LEAST_AHEAD

    @property
    def room(self) -> int:
        """How many more tasks this worker begins soon, by its pace. More than that are for other workers."""
        return max(0, self._most_waiting - self._waiting)

    def start(self, runs: Iterable[Run]) -> None:
        """Begins to run these soon, after the next claim has been sent."""
        waiting = collections.deque(runs)
        self._waiting += len(waiting)
        asyncio.get_running_loop().call_soon(self._begin, waiting)

    def _begin(self, runs: collections.deque[Run]) -> None:
        self._take_turn(_Batch(runs, len(runs), self._clock()))

    def _take_turn(self, batch: _Batch) -> None:
        """Has asyncio tasks begin some of a batch in the next iteration of the event loop, and the rest afterwards."""
        if not batch.runs:
            pace = batch.count / max(self._clock() - batch.since, 1e-6)
            self._most_waiting = max(_LEAST_AHEAD, round(_AHEAD_SECONDS * pace))
            self._on_begun()
            return
        begun = batch.count - len(batch.runs)
        will_wait = -(-len(batch.runs) * batch.waits // max(1, begun))
        batch.turn_since = None
        for _ in range(min(_AT_ONCE, max(1, will_wait))):
            task = asyncio.create_task(self._run_some(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        asyncio.get_running_loop().call_soon(self._take_turn, batch)

    async def _run_some(self, batch: _Batch) -> None:
        """Runs one after another until one waits, or the turn has taken long enough."""
        this = asyncio.current_task()
        assert this is not None
        waits = False

        def on_wait() -> None:
            nonlocal waits
            waits = True
            batch.waits += 1

        if batch.turn_since is None:  # not from when this was created: other coroutines ran in between
            batch.turn_since = self._clock()
        until = batch.turn_since + _MOST_BLOCKED_SECONDS
        while batch.runs and self._clock() <= until:
            self._waiting -= 1
            run = batch.runs.popleft()
            run.running = this  # asyncio.current_task() in each run would be a system call each
            await self._run(run, on_wait)
            if waits or this.cancelling():  # its own handler did that
                break
