"""Limits how many calls of a costly kind run at a time, so that others keep memory and connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from duetime_core.model import errors
from duetime_server.rpc import turns


class Limiter:
    """Runs at most `limit` calls at a time. The others wait up to `wait_seconds`; together they take `max_waiting`.

    Principals take turns, and none takes more of `max_waiting` than it leaves to the others.
    """

    def __init__(self, what: str, *, limit: int, max_waiting: int, wait_seconds: float) -> None:
        self._what = what
        self._limit = limit
        self._max_waiting = max_waiting
        self._wait_seconds = wait_seconds
        self._free = limit
        self._waiting: turns.Turns[turns.Waiting] = turns.Turns()  # empty while a slot is free

    @contextlib.asynccontextmanager
    async def slot(self, size: int = 1) -> AsyncIterator[None]:
        """Holds a slot during the block; `size` counts against `max_waiting` until it has one. Raises ServerBusy."""
        await self._acquire(size)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, size: int) -> None:
        if self._free:
            self._free -= 1
            return
        owner = turns.owner.get()
        if not self._waiting.has_room(owner, size, max_size=self._max_waiting):
            raise self._busy("too many are waiting")
        waiting = turns.Waiting(owner=owner, size=size, turn=asyncio.get_running_loop().create_future())
        self._waiting.add(waiting)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await waiting.turn
        except BaseException as error:
            self._waiting.remove(waiting)
            if waiting.turn.done() and not waiting.turn.cancelled():
                self._release()  # it got a slot just as it was cancelled
            if isinstance(error, TimeoutError):
                raise self._busy(f"this call waited {self._wait_seconds:g} s") from None
            raise

    def _release(self) -> None:
        """Passes a slot on to whose turn it is."""
        while self._waiting:
            turn = self._waiting.pop().turn
            if not turn.done():  # cancelled just before
                turn.set_result(None)
                return
        self._free += 1

    def _busy(self, why: str) -> errors.ServerBusy:
        return errors.ServerBusy(
            f"The server handles {self._limit} {self._what} at a time, and {why}. Nothing was changed; retry later."
        )
