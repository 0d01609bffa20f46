"""The lease keeper: it extends the leases of this worker's tasks, and cancels the runs of tasks that it lost."""

import asyncio
import time

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.redis import client as redis_client
from duetime_core.redis import hints
from duetime_core.store import leases as task_leases
from duetime_worker import context, deadlines, runner

_RETRY_SECONDS = deadlines.RETRY_SECONDS


class LeaseKeeper:
    """Extends all leases together, every third of a lease, and retries at once while the database is unavailable.

    A lease that expired in an outage is extended like any other, unless its task was reclaimed: a live worker has its
    leases again within 0.25 s after the outage, if its attempts are refused. An attempt that hangs, because the
    network drops packets, fails after a sixth of a lease, and the next one uses a fresh connection. `engine` is for
    extensions alone, so that they wait for nobody's connection, and has one connection, so that the next is fresh.
    """

    def __init__(
        self,
        here: context.Context,
        runner: runner.Runner,
        engine: sqlalchemy_asyncio.AsyncEngine,
    ) -> None:
        self._here = here
        self._runner = runner
        self._engine = engine
        self._deadlines = deadlines.Deadlines.of(here.lease)

    async def run(self) -> None:
        """Extends leases until cancelled."""
        while True:
            started = time.monotonic()
            if await self._extend_all():
                await asyncio.sleep(max(0, started + self._deadlines.extend_every - time.monotonic()))
            else:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _extend_all(self) -> bool:
        try:
            async with asyncio.timeout(self._deadlines.extension):
                return await self._extend(self._engine, self._runner.leases.ids)
        except TimeoutError:
            self._here.database_outage.begin(errors.StoreUnavailable("The leases were not extended in time."))
            return False

    async def listen(self, client: redis_client.Client) -> None:
        """Checks running tasks as soon as a hint names them as cancelled, until this is cancelled itself."""
        async for cancelled in hints.listen(client, client.names.cancellations):
            await self._extend(self._here.engine, self._runner.leases.of(cancelled))

    async def _extend(self, engine: sqlalchemy_asyncio.AsyncEngine, lease_ids: set[int]) -> bool:
        leases = self._runner.leases
        before = {lease_id: dict(tasks) for lease_id in lease_ids if (tasks := leases.tasks(lease_id))}
        if not before:
            return True
        asked = time.monotonic()
        try:
            extended, locked = await task_leases.extend(
                engine, before, worker_id=self._here.worker_id, lease=self._here.lease
            )
            kept = (task_id for task_ids in extended.values() for task_id in task_ids)
            self._runner.keep(kept, until=asked + self._here.lease.total_seconds())
        except errors.StoreUnavailable as error:
            self._here.database_outage.begin(error)
            return False
        self._here.database_outage.end()
        for lease_id in before.keys() - locked:
            still_held = set(extended.get(lease_id, ()))
            for task_id, version in before[lease_id].items():
                if task_id not in still_held:
                    self._runner.lose(task_id, version, lease_id)
        return not locked
