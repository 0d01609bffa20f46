"""The lease keeper: it tells PostgreSQL that the tasks here still run, and the runner which are no longer its own."""

import asyncio

from duetime_core.model import errors
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell, hints
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import context, outcomes, runner

_RETRY_SECONDS = 0.25


class LeaseKeeper:
    """Extends all leases together, every third of a lease, and at once again while the database cannot be reached.

    A lease that ran out in an outage is extended like any other, as long as nobody took its task back: a worker that
    lives has its tasks again within 0.25 s after the outage, if its attempts are refused. One that hangs, because
    the network swallows what is sent, takes up to 10 s to fail; a lease shorter than that may be lost by it.
    """

    def __init__(self, here: context.Context, runs: runner.Runner, report: outcomes.OutcomeRecorder) -> None:
        self._here = here
        self._runs = runs
        self._report = report

    async def run(self) -> None:
        """Extends leases, for ever."""
        while True:
            has_answered = await self._extend(self._runs.versions | self._report.versions)
            await asyncio.sleep(self._here.lease.total_seconds() / 3 if has_answered else _RETRY_SECONDS)

    async def listen(self, redis_url: str) -> None:
        """Asks after a task as soon as a hint says that it was cancelled, for ever."""
        async for cancelled in hints.listen(redis_client.connect(redis_url), doorbell.CANCELLATIONS):
            versions = self._runs.versions
            await self._extend({task_id: versions[task_id] for task_id in cancelled & versions.keys()})

    async def _extend(self, versions: dict[int, int]) -> bool:
        if not versions:
            return True
        try:
            held = await task_outcomes.extend(
                self._here.engine, versions, worker_id=self._here.worker_id, lease=self._here.lease
            )
        except errors.StoreUnavailable as error:
            self._here.database_outage.begin(error)
            return False
        self._here.database_outage.end()
        for task_id in versions.keys() - held:
            self._runs.lose(task_id, versions[task_id])
        return True
