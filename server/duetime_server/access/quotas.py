"""What each principal may have of a server, so that it leaves something to the others: a rate, and calls at a time.

Everything is counted in memory, by actor, so that several keys of one rotation share it. A server without
authentication has one principal, and no quotas.
"""

import asyncio
import collections
import functools
import time
from collections.abc import Callable, Mapping

from duetime_core.model import errors
from duetime_server import access
from duetime_server.access import buckets
from duetime_server.rpc import admission

MAX_CALLS = 5_000
"""Half of the creates that may wait for the database."""
MAX_WATCHES = 10_000
"""Half of those that the edge lets through, and as many as a connection may have."""
BURST_SECONDS = 2.0
"""For how long a principal may have been silent, and then make up for it."""
PATIENCE_SECONDS = 0.5
"""How long a call waits for its principal's rate before it is refused: refusing costs as much as a small call, and a
caller that repeats one at once would have the server do nothing else."""

COSTS: Mapping[str, int] = {
    **dict.fromkeys((*admission.LISTS, "ExplainTask", "PreviewSchedule", "WatchTask", "WatchTasks"), 5),
    **dict.fromkeys(admission.BULK, 20),
}
"""As how many calls a method counts; any other as one. Those that create many tasks count each, by `access.charge`."""


class Quotas:
    """Counts the calls of all principals. A `call_rate` of 0 is no limit."""

    def __init__(
        self,
        *,
        call_rate: int = 0,
        max_calls: int = MAX_CALLS,
        max_watches: int = MAX_WATCHES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._call_rate = call_rate
        self._buckets = buckets.Buckets(call_rate, call_rate * BURST_SECONDS, clock=clock) if call_rate else None
        self._calls = _AtATime(max_calls, "calls in progress")
        self._watches = _AtATime(max_watches, "watches open")

    async def charge(self, owner: str, method: str) -> None:
        """Counts a call before anything is done for it, and returns once it may begin. Raises CallRateExceeded."""
        if self._buckets is None:
            return
        cost = COSTS.get(method.rpartition("/")[2], 1)
        wait_seconds = self._buckets.take(owner, cost, patience_seconds=PATIENCE_SECONDS)
        if wait_seconds > PATIENCE_SECONDS:
            raise errors.CallRateExceeded(
                f"Each caller may make {self._call_rate:,} calls a second to this server, and this one made more. "
                "Nothing was changed; retry later.",
                retry_seconds=wait_seconds,
            )
        if wait_seconds:
            await asyncio.sleep(wait_seconds)
        access.charging.set(functools.partial(self._buckets.charge, owner))

    def enter(self, owner: str, *, is_watch: bool) -> None:
        """Counts a call or a watch that begins. Raises TooManyCalls."""
        (self._watches if is_watch else self._calls).enter(owner)

    def leave(self, owner: str, *, is_watch: bool) -> None:
        """Counts one that has ended."""
        (self._watches if is_watch else self._calls).leave(owner)


class _AtATime:
    """Counts what principals have at a time."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._counts: collections.Counter[str] = collections.Counter()

    def enter(self, owner: str) -> None:
        if self._counts[owner] >= self._limit:
            raise errors.TooManyCalls(
                f"Each caller may have {self._limit:,} {self._what} at this server, and this one has as many. "
                "Nothing was changed; end some, or retry later."
            )
        self._counts[owner] += 1

    def leave(self, owner: str) -> None:
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]
