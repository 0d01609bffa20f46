"""The handlers of the benchmarks' tasks."""

import asyncio
import functools
import os
import pathlib
import time

from bench import spans
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
    os.write(_open(f"late.{os.getpid()}"), f"{1000 * late}\n".encode())


@handlers.handler("span")
async def span(task: handlers.Task) -> None:
    """Notes when it begins and when it ends, 5 ms later."""
    descriptor = _open(spans.NAME)
    spans.write(descriptor, begins=True, key=task.concurrency_key or "")
    await asyncio.sleep(0.005)
    spans.write(descriptor, begins=False, key=task.concurrency_key or "")


@functools.cache
def _open(name: str) -> int:
    path = pathlib.Path(os.environ["TEST_DIRECTORY"], name)
    return os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
