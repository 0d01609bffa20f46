"""Logs the starts of runs that continue. Those of runs that have ended are logged with their outcomes."""

import asyncio
import collections
import time
from collections.abc import Callable, Iterator

from duetime_core.model import errors, task
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import context
from duetime_worker.run import Run

AFTER_SECONDS = 0.02
"""How long after its start a run counts as one that continues."""
_RETRY_SECONDS = 0.25


class StartRecorder:
    """Logs starts in batches. While one is on its way, the outcome of its run must not be recorded.

    `on_logged` is called once a batch is logged.
    """

    def __init__(self, here: context.Context) -> None:
        self._here = here
        self._claims: collections.deque[tuple[float, list[Run]]] = collections.deque()  # not yet examined, by time
        self._added = asyncio.Event()
        self._in_progress: set[tuple[int, int]] = set()
        self._logged: set[tuple[int, int]] = set()
        self.on_logged: Callable[[], None] = lambda: None

    def add(self, runs: list[Run]) -> None:
        """Adds the runs of a claim."""
        self._claims.append((time.monotonic(), runs))
        self._added.set()

    @property
    def knows_any(self) -> bool:
        """Whether the start of any run is logged or on its way, whose outcome is not recorded."""
        return bool(self._in_progress or self._logged)

    def is_in_progress(self, task_id: int, version: int) -> bool:
        """Returns whether the start of that run is on its way to the log."""
        return (task_id, version) in self._in_progress

    def is_logged(self, task_id: int, version: int) -> bool:
        """Returns whether the start of that run is logged."""
        return (task_id, version) in self._logged

    def discard(self, task_id: int, version: int) -> None:
        """Forgets a run whose outcome is recorded, or that has none."""
        self._logged.discard((task_id, version))
        self._in_progress.discard((task_id, version))

    async def run(self) -> None:
        """Logs starts until cancelled."""
        while True:
            while not self._claims:
                self._added.clear()
                await self._added.wait()
            await asyncio.sleep(self._claims[0][0] + AFTER_SECONDS - time.monotonic())
            runs = [run for run in self._take_due() if not run.has_ended and not run.is_lost]
            if not_begun := [run for run in runs if run.running is None]:
                self._claims.append((time.monotonic(), not_begun))
            if continuing := [run.claimed for run in runs if run.running is not None]:
                await self._log(continuing)

    def _take_due(self) -> Iterator[Run]:
        while self._claims and self._claims[0][0] + AFTER_SECONDS <= time.monotonic():
            yield from self._claims.popleft()[1]

    async def _log(self, claimed: list[task.Task]) -> None:
        keys = {(each.task_id, each.version) for each in claimed}
        self._in_progress |= keys
        while True:
            try:
                await task_outcomes.log_starts(self._here.engine, claimed, worker_id=self._here.worker_id)
            except errors.StoreUnavailable as error:
                self._here.database_outage.begin(error)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:  # nothing was logged: these starts are logged with their outcomes
                self._in_progress -= keys
                self.on_logged()
                raise
            else:
                break
        self._here.database_outage.end()
        self._logged |= keys & self._in_progress
        self._in_progress -= keys
        self._here.bell.changed(each.task_id for each in claimed)
        self.on_logged()
