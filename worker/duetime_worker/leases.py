"""The lease keeper: it extends the leases of this worker's tasks, and cancels the runs of tasks that it lost."""

import asyncio

from duetime_core.model import errors
from duetime_core.redis import client as redis_client
from duetime_core.redis import hints
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import context, locked_tasks, runner

_RETRY_SECONDS = 0.25


class LeaseKeeper:
    """Extends all leases together, every third of a lease, and retries at once while the database is unavailable.

    A lease that expired in an outage is extended like any other, unless its task was reclaimed: a live worker has its
    leases again within 0.25 s after the outage, if its attempts are refused. An attempt that hangs, because the
    network drops packets, takes up to 10 s to fail; shorter leases may be lost by that.
    """

    def __init__(self, here: context.Context, runner: runner.Runner, locked: locked_tasks.LockedTasks) -> None:
        self._here = here
        self._runner = runner
        self._locked = locked

    async def run(self) -> None:
        """Extends leases until cancelled."""
        while True:
            has_extended = await self._extend(self._runner.versions | self._runner.recorder.versions)
            await asyncio.sleep(self._here.lease.total_seconds() / 3 if has_extended else _RETRY_SECONDS)

    async def listen(self, client: redis_client.Client) -> None:
        """Checks running tasks as soon as a hint names them as cancelled, until this is cancelled itself."""
        async for cancelled in hints.listen(client, client.names.cancellations):
            versions = self._runner.versions
            await self._extend({task_id: versions[task_id] for task_id in cancelled & versions.keys()})

    async def _extend(self, versions: dict[int, int]) -> bool:
        if not versions:
            return True
        try:
            extended = await task_outcomes.extend(
                self._here.engine, versions, worker_id=self._here.worker_id, lease=self._here.lease
            )
            await self._locked.check({each: versions[each] for each in versions.keys() - extended})
        except errors.StoreUnavailable as error:
            self._here.database_outage.begin(error)
            return False
        self._here.database_outage.end()
        return True
