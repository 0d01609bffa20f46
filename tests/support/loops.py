"""The event loop of the tests."""

import asyncio

_ITERATIONS = 10
"""More than anything needs that waits for nothing outside the process."""


async def settle() -> None:
    """Lets everything run that is ready, and what that makes ready."""
    for _ in range(_ITERATIONS):
        await asyncio.sleep(0)
