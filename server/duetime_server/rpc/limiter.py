"""A gate: how many calls of a costly kind are answered at a time, so that others keep memory and connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from duetime_core.model import errors


class Limiter:
    """Lets `most` calls in at a time. The others wait `patience` seconds: at most `room` of them, by their sizes."""

    def __init__(self, what: str, *, most: int, room: int, patience: float) -> None:
        self._what = what
        self._most = most
        self._room = room
        self._patience = patience
        self._inside = asyncio.Semaphore(most)
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def entered(self, size: int = 1) -> AsyncIterator[None]:
        """Holds a place for as long as the block lasts. Raises ServerBusy if there is none in time."""
        await self._enter(size)
        try:
            yield
        finally:
            self._inside.release()

    async def _enter(self, size: int) -> None:
        if self._inside.locked() and self._waiting + size > self._room:
            raise self._busy("too many wait already")
        self._waiting += size
        try:
            async with asyncio.timeout(self._patience):
                await self._inside.acquire()
        except TimeoutError:
            raise self._busy(f"this one waited {self._patience:g} s") from None
        finally:
            self._waiting -= size

    def _busy(self, why: str) -> errors.ServerBusy:
        return errors.ServerBusy(
            f"The server answers {self._most} {self._what} at a time, and {why}; nothing was changed. Try again."
        )
