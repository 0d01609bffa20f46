"""Background services of a process, such as `Doorbell.run`: coroutines that run until the process stops."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeVar

from duetime_core.process import failures

_AGAIN_SECONDS = 0.1
_STABLE_SECONDS = 60.0
"""A service that has run for so long before it failed had recovered."""

_Result = TypeVar("_Result")


def start(*services: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
    """Starts them as tasks."""
    return [asyncio.create_task(service) for service in services]


async def supervise(name: str, service: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a service until it returns or this is cancelled, and again, after a growing pause, if it raises.

    An error that the service does not expect must not end the process, which would end all its other services, again
    after each restart if the cause is in the data. It is logged by `failures.Failures`.
    """
    failing = failures.Failures("service failed", service=name)
    while True:
        began = time.monotonic()
        try:
            return await service()
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled():
                raise
            if time.monotonic() - began > _STABLE_SECONDS:
                failing.end()
            await asyncio.sleep(failing.add(error))


def _is_cancelled() -> bool:
    """Returns whether this asyncio task is being cancelled. Otherwise a CancelledError is a library's own mistake."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


async def end(services: Collection[asyncio.Task[None]]) -> None:
    """Cancels them until they end: redis-py over uvloop swallows a cancellation that arrives while it connects."""
    going = set(services)
    while going:
        for service in going:
            service.cancel()
        _, going = await asyncio.wait(going, timeout=_AGAIN_SECONDS)


async def finish(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Returns or raises what `work` does. If the caller is cancelled, `work` still runs to its end first."""
    working = asyncio.create_task(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # marks it as retrieved: no caller waits for it any more
        raise
