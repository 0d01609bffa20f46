"""The handlers of the benchmarks' tasks."""

import asyncio
import functools
import os
import pathlib
import time

from duetime_worker import handlers


@handlers.handler("noop")
async def noop(_task: handlers.Task) -> None:
    """Does nothing."""


@handlers.handler("wait")
async def wait(task: handlers.Task) -> None:
    """Waits for so many seconds, as for somebody else's answer."""
    await asyncio.sleep(task.task_data["seconds"])


@handlers.handler("note")
async def note(task: handlers.Task) -> None:
    """Notes how late it starts, in the stage's directory; written at once, because workers are killed."""
    late = time.time() - task.execution_time.timestamp()
    os.write(_notes(), f"{1000 * late}\n".encode())


@functools.cache
def _notes() -> int:
    path = pathlib.Path(os.environ["TEST_DIRECTORY"], f"late.{os.getpid()}")
    return os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
