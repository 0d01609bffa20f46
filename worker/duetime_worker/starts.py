"""Logs the starts of runs that continue. Those of runs that have ended are logged with their outcomes."""

import asyncio
from collections.abc import Callable, Collection

from duetime_core.model import errors, task
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import context

AFTER_SECONDS = 0.02
"""How long after its start a run counts as one that continues."""
_RETRY_SECONDS = 0.25


class StartRecorder:
    """Logs starts in batches. While one is on its way, the outcome of its run must not be recorded.

    `on_logged` is called then.
    """

    def __init__(self, here: context.Context, running: Callable[[], Collection[task.Task]]) -> None:
        self._here = here
        self._running = running
        self._started = asyncio.Event()
        self._in_progress: set[tuple[int, int]] = set()
        self._logged: set[tuple[int, int]] = set()
        self.on_logged: Callable[[], None] = lambda: None

    def add(self) -> None:
        """Notes that runs started."""
        self._started.set()

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
        """Forgets a run whose outcome is recorded."""
        self._logged.discard((task_id, version))

    async def run(self) -> None:
        """Logs starts until cancelled."""
        while True:
            await self._started.wait()
            self._started.clear()
            await asyncio.sleep(AFTER_SECONDS)
            new = [each for each in self._running() if (each.task_id, each.version) not in self._logged]
            if new:
                await self._log(new)

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
        self._logged |= keys
        self._in_progress -= keys
        self._here.bell.changed(each.task_id for each in claimed)
        self.on_logged()
