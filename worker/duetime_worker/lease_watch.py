"""The lease watch: it ends runs whose leases this worker could not extend in time."""

import asyncio
import datetime
import time

from duetime_worker import runner

_INTERVAL_SECONDS = 0.25


class LeaseWatch:
    """Ends runs of limited queues just before their leases are over by the worker's own monotonic clock.

    A worker that is cut off from the database does not learn that others have reclaimed its tasks, and would exceed the
    limits together with them. Runs of other queues continue: nothing limits how many run at once, and most often the
    database is unavailable to all workers, none of which then reclaims anything.
    """

    def __init__(self, runner: runner.Runner, lease: datetime.timedelta) -> None:
        self._runner = runner
        # Of a lease of 4 s or more, which is extended after a third, half a second: twice the interval.
        self._ahead_seconds = min(2 * _INTERVAL_SECONDS, lease.total_seconds() / 8)

    async def run(self) -> None:
        """Watches the leases until cancelled."""
        while True:
            self._runner.end_expired(by=time.monotonic() + self._ahead_seconds)
            await asyncio.sleep(_INTERVAL_SECONDS)
