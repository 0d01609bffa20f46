"""Waiting until tasks are done, without being in their way."""

import asyncio

from bench import histories, stage

_LOOK_SECONDS = 0.5


async def until_completed(scene: stage.Scene, tasks: int, *, seconds: float = 300) -> None:
    """Returns once so many tasks have completed. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if await histories.completed(scene) >= tasks:
                return
            await asyncio.sleep(_LOOK_SECONDS)
