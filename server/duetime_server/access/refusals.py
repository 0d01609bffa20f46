"""Refused calls, which become audit events: counted in memory, and written behind the calls.

A flood of bad credentials must fill neither the server's memory nor the table. Calls that have the same caller,
address and reason are one event a minute; beyond MAX_REFUSALS of them a minute, only the reason is kept. What is not
written yet is lost if the process is killed, or stops while the database is unavailable. If the database's answer is
lost, the calls may be counted twice.
"""

import asyncio
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


class Refusals:
    """Counts the refused calls of a server. `run` belongs to it."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine) -> None:
        self._engine = engine
        self._counted: dict[audit.Refusal, _Counted] = {}
        self._writing = asyncio.Lock()
        self._outage = outage.Outage("the database", "refused calls are counted, and become audit events later")

    def add(self, refusal: audit.Refusal, method: str) -> None:
        """Counts a refused call."""
        if refusal not in self._counted and len(self._counted) >= MAX_REFUSALS:
            refusal = audit.Refusal(refusal.kind, refusal.reason)
        now = time.monotonic()
        self._counted.setdefault(refusal, _Counted()).add(method, 1, now, now)

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
