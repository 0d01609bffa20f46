"""Waiting until tasks are done, without being in their way."""

import asyncio
import datetime

from bench import histories, stage

_LOOK_SECONDS = 0.5


async def until_completed(scene: stage.Scene, tasks: int, *, after: int = 0, seconds: float = 300) -> None:
    """Returns once so many tasks with a task_id above `after` have completed. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if await histories.completed(scene, after=after) >= tasks:
                return
            await asyncio.sleep(_LOOK_SECONDS)


async def until(due: datetime.datetime) -> None:
    """Returns at this moment, for which everything has been made ready. Fails if it is past already."""
    ahead = due - datetime.datetime.now(datetime.UTC)
    if ahead < datetime.timedelta(0):
        raise AssertionError("the tasks were due before all were created: the machine is too busy to measure this")
    await asyncio.sleep(ahead.total_seconds())
