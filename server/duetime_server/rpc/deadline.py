"""The deadline: when a caller is told that the database is late, whatever it is that the call waits for."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from duetime_core.model import errors
from duetime_core.postgres import error_mapping

CALL_SECONDS = 9.0
"""Less than the 10 s that our client waits unless it is told otherwise, so that callers get a reason."""

_log = structlog.get_logger()


class Deadline:
    """Lets a call wait for a connection, and its answer, for CALL_SECONDS in all."""

    def __init__(self) -> None:
        self._left: set[asyncio.Task[Any]] = set()  # kept here, because the event loop does not keep them

    async def keep(self, answering: Coroutine[Any, Any, Any]) -> Any:
        """Returns or raises what `answering` does; raises StoreUnavailable once it is late."""
        # Not `asyncio.timeout`, which would wait for the end of what it cancels: the driver asks the database to stop
        # the statement, and waits for that too. And not `asyncio.wait`, which takes four times as long.
        loop = asyncio.get_running_loop()
        call, over = loop.create_task(answering), loop.create_future()
        call.add_done_callback(lambda _: _end(over))
        timer = loop.call_later(CALL_SECONDS, _end, over)
        try:
            await over
        except asyncio.CancelledError:  # the caller hung up
            self._leave(call)
            raise
        finally:
            timer.cancel()
        if not call.done():
            self._leave(call)
            raise errors.StoreUnavailable(error_mapping.LATE)
        return call.result()

    def _leave(self, call: asyncio.Task[Any]) -> None:
        call.cancel()
        self._left.add(call)
        call.add_done_callback(self._forget)

    def _forget(self, call: asyncio.Task[Any]) -> None:
        self._left.discard(call)
        error = None if call.cancelled() else call.exception()
        if error is not None and not isinstance(error, errors.DuetimeError):
            _log.error("a call that nobody waited for any more failed", exc_info=error)


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)
