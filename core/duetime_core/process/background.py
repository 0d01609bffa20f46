"""Background services of a process, such as `Doorbell.run`: coroutines that run until the process stops."""

import asyncio
import contextlib
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

_AGAIN_SECONDS = 0.1

_Result = TypeVar("_Result")


def start(*services: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
    """Starts them as tasks."""
    return [asyncio.create_task(service) for service in services]


async def wait(event: asyncio.Event, services: Collection[asyncio.Task[None]]) -> None:
    """Waits for the event. Raises what a service raises meanwhile: the process cannot work without it."""
    waiting = asyncio.create_task(event.wait())
    ended, _ = await asyncio.wait([waiting, *services], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for each in ended:
        each.result()


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
