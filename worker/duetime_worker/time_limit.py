"""A time limit for a coroutine that may end by itself at once, as most handlers do."""

import asyncio
from collections.abc import Awaitable


class ReachedError(TimeoutError):
    """A run reached its time limit, and its handler has ended."""


async def run(coroutine: Awaitable[object], seconds: float) -> object:
    """Returns or raises what the coroutine does, which is cancelled after `seconds`. Raises ReachedError if it was.

    The same as `asyncio.timeout`, which takes a tenth of a worker's time if handlers do nothing.
    """
    current = asyncio.current_task()
    assert current is not None
    cancelling = current.cancelling()
    is_reached = False

    def end() -> None:
        nonlocal is_reached
        is_reached = True
        current.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, end)
    try:
        return await coroutine
    except asyncio.CancelledError:
        if is_reached and current.cancelling() - 1 <= cancelling:
            raise ReachedError from None
        raise  # another task cancelled it too
    finally:
        timer.cancel()
        if is_reached:
            current.uncancel()
