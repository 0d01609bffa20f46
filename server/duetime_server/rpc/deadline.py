"""The deadline of a call: its caller gets an error then, even if the call is still waiting."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from duetime_core.model import errors
from duetime_core.postgres import error_mapping

CALL_SECONDS = 9.0
"""Less than the 10 s that our client waits by default, so that callers get a reason."""

_log = structlog.get_logger()


class Deadline:
    """Lets a call take CALL_SECONDS in all, with its wait for a connection."""

    def __init__(self) -> None:
        self._abandoned: set[asyncio.Task[Any]] = set()  # the event loop keeps no reference to them

    async def keep(self, running: Coroutine[Any, Any, Any]) -> Any:
        """Returns or raises what `running` does. Raises StoreUnavailable at the deadline."""
        # Not `asyncio.timeout`, which waits until the cancelled call has ended: a batch runs to completion. Not
        # `asyncio.wait` either: it costs four times as much.
        loop = asyncio.get_running_loop()
        call, over = loop.create_task(running), loop.create_future()
        call.add_done_callback(lambda _: _end(over))
        timer = loop.call_later(CALL_SECONDS, _end, over)
        try:
            await over
        except asyncio.CancelledError:  # the caller hung up
            self._abandon(call)
            raise
        finally:
            timer.cancel()
        if not call.done():
            self._abandon(call)
            raise errors.StoreUnavailable(error_mapping.LATE)
        return call.result()

    def _abandon(self, call: asyncio.Task[Any]) -> None:
        call.cancel()
        self._abandoned.add(call)
        call.add_done_callback(self._forget)

    def _forget(self, call: asyncio.Task[Any]) -> None:
        self._abandoned.discard(call)
        error = None if call.cancelled() else call.exception()
        if error is not None and not isinstance(error, errors.DuetimeError):
            _log.error("abandoned call failed", exc_info=error)


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)
