"""The handlers of the benchmarks' tasks."""

import asyncio

from duetime_worker import handlers


@handlers.handler("noop")
async def noop(_task: handlers.Task) -> None:
    """Does nothing."""


@handlers.handler("wait")
async def wait(task: handlers.Task) -> None:
    """Waits for so many seconds, as for somebody else's answer."""
    await asyncio.sleep(task.task_data["seconds"])
