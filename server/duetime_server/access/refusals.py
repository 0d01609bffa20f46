"""Refused calls, which become audit events: counted in memory, and written behind the calls.

A flood of bad credentials must neither fill the server's memory nor hide who else is refused. Calls that have the same
caller, address and reason are one event a minute; beyond MAX_REFUSALS of them a minute, the address is dropped, and
beyond as many callers, all but the reason. What is not written yet is lost if the process is killed, or stops while the
database is unavailable. If the database's answer is lost, the calls may be counted twice.
"""

import asyncio
import collections
import contextlib
import dataclasses
import datetime
import time

import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import audit, errors
from duetime_core.process import outage
from duetime_core.store.audit import write as audit_write

MAX_REFUSALS = 100
"""How many are counted apart within EVENT_SECONDS, of each budget."""
EVENT_SECONDS = 60.0
"""How often the same refusal is written."""
_WRITE_SECONDS = 5.0
"""How often those are written that may be: the first of a minute appears that soon."""

_log = structlog.get_logger()


@dataclasses.dataclass(slots=True)
class _Counted:
    """Calls that are not written yet. Times are by the monotonic clock."""

    method: str = ""
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    written_at: float | None = None

    def add(self, method: str, count: int, first: float, last: float) -> None:
        if not self.count:
            self.method, self.first, self.last = method, first, last
        self.count += count
        self.first, self.last = min(self.first, first), max(self.last, last)

    def is_due(self, now: float) -> bool:
        return self.written_at is None or now - self.written_at >= EVENT_SECONDS


_Budget = tuple[audit.Kind, bool, bool]


def _budget(refusal: audit.Refusal) -> _Budget:
    """Returns what refusals have in common that share MAX_REFUSALS: calls without a key use up none of others."""
    is_anonymous = refusal.actor is None and refusal.key_id is None
    return refusal.kind, is_anonymous, refusal.address is None


class Refusals:
    """Counts the refused calls of a server. `run` belongs to it."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine) -> None:
        self._engine = engine
        self._counted: dict[audit.Refusal, _Counted] = {}
        self._used: collections.Counter[_Budget] = collections.Counter()
        self._writing = asyncio.Lock()
        self._outage = outage.Outage("the database", "refused calls are counted, and become audit events later")

    def add(self, refusal: audit.Refusal, method: str) -> None:
        """Counts a refused call."""
        if not self._fits(refusal):
            refusal = dataclasses.replace(refusal, address=None)
        if not self._fits(refusal):
            refusal = audit.Refusal(refusal.kind, refusal.reason)  # as many as there are reasons
        if refusal not in self._counted:
            self._counted[refusal] = _Counted()
            self._used[_budget(refusal)] += 1
        now = time.monotonic()
        self._counted[refusal].add(method, 1, now, now)

    def _fits(self, refusal: audit.Refusal) -> bool:
        return refusal in self._counted or self._used[_budget(refusal)] < MAX_REFUSALS

    async def run(self) -> None:
        """Writes what was counted, indefinitely."""
        while True:
            await asyncio.sleep(_WRITE_SECONDS)
            with contextlib.suppress(errors.StoreUnavailable):
                await self.write()

    async def write_last(self, *, seconds: float) -> None:
        """Writes all that was counted within that time, or logs how many calls are lost."""
        try:
            async with asyncio.timeout(seconds):
                await self.write(is_last=True)
        except (errors.StoreUnavailable, TimeoutError):
            calls = sum(counted.count for counted in self._counted.values())
            _log.error("refused calls not recorded", calls=calls)

    async def write(self, *, is_last: bool = False) -> None:
        """Writes each refusal that was not written within EVENT_SECONDS; all if it is the last time.

        Raises StoreUnavailable, and keeps what it may not have written.
        """
        async with self._writing:
            await self._write(is_last)

    async def _write(self, is_last: bool) -> None:
        now = time.monotonic()
        for refusal, counted in list(self._counted.items()):
            if not counted.count and counted.is_due(now):
                del self._counted[refusal]
                self._used[_budget(refusal)] -= 1
        taken = {
            refusal: dataclasses.replace(counted)
            for refusal, counted in self._counted.items()
            if counted.count and (is_last or counted.is_due(now))
        }
        if not taken:
            return
        batch = []
        for refusal, counted in taken.items():
            self._counted[refusal].count = 0
            ages = [datetime.timedelta(seconds=now - moment) for moment in (counted.first, counted.last)]
            batch.append(audit.Refused(refusal, counted.method, counted.count, *ages))
        try:
            await audit_write.refused(self._engine, batch)
        except BaseException as error:
            for refusal, counted in taken.items():
                self._counted[refusal].add(counted.method, counted.count, counted.first, counted.last)
            if isinstance(error, errors.StoreUnavailable):
                self._outage.begin(error)
            raise
        self._outage.end()
        for refusal in taken:
            self._counted[refusal].written_at = now
