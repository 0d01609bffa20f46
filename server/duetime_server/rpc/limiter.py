"""Limits how many calls of a costly kind run at a time, so that others keep memory and connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from duetime_core.model import errors


class Limiter:
    """Runs at most `limit` calls at a time. The others wait up to `wait_seconds`; together they take `max_waiting`."""

    def __init__(self, what: str, *, limit: int, max_waiting: int, wait_seconds: float) -> None:
        self._what = what
        self._limit = limit
        self._max_waiting = max_waiting
        self._wait_seconds = wait_seconds
        self._slots = asyncio.Semaphore(limit)
        self._waiting = 0  # the sizes of the waiting calls

    @contextlib.asynccontextmanager
    async def slot(self, size: int = 1) -> AsyncIterator[None]:
        """Holds a slot during the block; `size` counts against `max_waiting` until it has one. Raises ServerBusy."""
        await self._acquire(size)
        try:
            yield
        finally:
            self._slots.release()

    async def _acquire(self, size: int) -> None:
        if self._slots.locked() and self._waiting + size > self._max_waiting:
            raise self._busy("too many are waiting")
        self._waiting += size
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise self._busy(f"this call waited {self._wait_seconds:g} s") from None
        finally:
            self._waiting -= size

    def _busy(self, why: str) -> errors.ServerBusy:
        return errors.ServerBusy(
            f"The server handles {self._limit} {self._what} at a time, and {why}. Nothing was changed; retry later."
        )
