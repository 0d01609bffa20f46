"""The sweep: what every worker does each second without Redis, so that no lost wakeup and no lost worker matters."""

import asyncio
import random

import structlog

from duetime_core.model import errors
from duetime_core.postgres import clock
from duetime_core.store.claiming import rescue
from duetime_worker import context, lease_guard, runner

INTERVAL_SECONDS = 1.0

_log = structlog.get_logger()


class Sweeper:
    """Returns tasks whose lease ran out, and has the runner look."""

    def __init__(self, here: context.Context, runs: runner.Runner) -> None:
        self._here = here
        self._runs = runs
        self._lease_guard = lease_guard.LeaseGuard(here.lease)

    async def run(self) -> None:
        """Sweeps, for ever."""
        while True:
            try:
                await self._sweep()
            except errors.StoreUnavailable as error:
                self._lease_guard.interrupt()
                self._here.database_outage.begin(error)
            else:
                self._here.database_outage.end()
            # Jitter, so that workers which started together do not sweep together.
            await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.8, 1.0))

    async def _sweep(self) -> None:
        if self._lease_guard.is_long_enough(await clock.now(self._here.engine)):
            await self._return_lost()
        self._runs.look_everywhere()

    async def _return_lost(self) -> None:
        lost = await rescue.reclaim(self._here.engine, worker_id=self._here.worker_id)
        if lost:
            _log.warning("took back tasks whose workers were lost", task_ids=lost)
            self._here.bell.changed(lost)
