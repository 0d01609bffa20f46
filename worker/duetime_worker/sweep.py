"""The sweep: each second, without Redis, it reclaims tasks of lost workers and has the runner poll all queues."""

import asyncio
import datetime
import random

import structlog

from duetime_core.model import errors
from duetime_core.postgres import clock
from duetime_core.store.claiming import rescue
from duetime_worker import context, lease_guard, runner

INTERVAL_SECONDS = 1.0

_log = structlog.get_logger()


class Sweeper:
    """Reclaims tasks with expired leases, and makes up for lost wakeups."""

    def __init__(self, here: context.Context, runner: runner.Runner) -> None:
        self._here = here
        self._runner = runner
        self._lease_guard = lease_guard.LeaseGuard(here.lease)

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            has_more = False
            try:
                has_more = await self._sweep()
            except errors.StoreUnavailable as error:
                self._lease_guard.interrupt()
                self._here.database_outage.begin(error)
            else:
                self._here.database_outage.end()
            if not has_more:
                # Jitter, so that workers which started together do not sweep together.
                await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.8, 1.0))

    async def _sweep(self) -> bool:
        """Sweeps once; returns whether more leases may have expired. The next sweep judges the database anew."""
        has_more = False
        now = await clock.now_if_it_commits(self._here.engine)
        if self._lease_guard.is_long_enough(now):
            has_more = await self._reclaim(before=now)
        self._runner.poll_all()
        return has_more

    async def _reclaim(self, *, before: datetime.datetime) -> bool:
        reclaimed = await rescue.reclaim(self._here.engine, worker_id=self._here.worker_id, before=before)
        if reclaimed:
            _log.warning("reclaimed tasks of lost workers", task_ids=reclaimed)
            self._here.bell.changed(reclaimed)
        return bool(reclaimed)
