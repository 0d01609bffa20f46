"""Running tasks of this worker whose rows other sessions have locked, so that their leases could not be extended."""

import asyncio
import contextlib
import time

from duetime_core.model import errors
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import context, runner

_RETRY_SECONDS = 0.25
_HELD_SECONDS = 2.0
"""How long a locked task counts as held after it was found to be, even if its lease is over."""


class LockedTasks:
    """Extends the leases of locked tasks as soon as their rows are unlocked.

    A lease may expire while its row is locked, but no worker can reclaim the task meanwhile. This waits in line for the
    row, so it is normally extended before another worker's sweep finds it unlocked; of several rows it waits for one,
    and tries the others four times a second.
    """

    def __init__(self, here: context.Context, runner: runner.Runner) -> None:
        self._here = here
        self._runner = runner
        self._versions: dict[int, int] = {}
        self._added = asyncio.Event()

    async def check(self, missing: dict[int, int]) -> None:
        """Adds those of the tasks (task_id → version) that this worker still holds; cancels the runs of the others.

        Raises StoreUnavailable.
        """
        if not missing:
            return
        asked = time.monotonic()
        held = await task_outcomes.held(self._here.engine, missing, worker_id=self._here.worker_id)
        self._runner.keep(held, until=asked + _HELD_SECONDS)
        for task_id, version in missing.items():
            if task_id in held:
                self._versions[task_id] = version
                self._added.set()
            else:
                self._versions.pop(task_id, None)
                self._runner.lose(task_id, version)

    async def run(self) -> None:
        """Extends their leases until cancelled."""
        while True:
            await self._added.wait()
            try:
                await self._wait_for_first()
            except errors.StoreUnavailable as error:
                self._here.database_outage.begin(error)
                await asyncio.sleep(_RETRY_SECONDS)
            if not self._versions:
                self._added.clear()

    async def _wait_for_first(self) -> None:
        """Returns once the first task's row was unlocked, or its task is no longer this worker's."""
        task_id = min(self._versions)
        waiting = asyncio.create_task(self._extend_one(task_id, self._versions[task_id]))
        try:
            while task_id in self._versions and not waiting.done():
                await asyncio.wait({waiting}, timeout=_RETRY_SECONDS)
                await self._extend_unlocked()
        finally:
            waiting.cancel()

    async def _extend_one(self, task_id: int, version: int) -> None:
        # It waited for as long as a statement may, or the database is unavailable, which `_extend_unlocked` notices.
        with contextlib.suppress(errors.StoreUnavailable):
            await task_outcomes.extend_one(
                self._here.engine, task_id, version, worker_id=self._here.worker_id, lease=self._here.lease
            )

    async def _extend_unlocked(self) -> None:
        versions, asked = dict(self._versions), time.monotonic()
        extended = await task_outcomes.extend(
            self._here.engine, versions, worker_id=self._here.worker_id, lease=self._here.lease
        )
        self._runner.keep(extended, until=asked + self._here.lease.total_seconds())
        for task_id in extended:
            if self._versions.get(task_id) == versions[task_id]:
                del self._versions[task_id]
        await self.check({task_id: version for task_id, version in versions.items() if task_id not in extended})
