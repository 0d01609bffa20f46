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
    """Sleeps for the given seconds, as if it waited for a remote service."""
    await asyncio.sleep(task.task_data["seconds"])


@handlers.handler("record lateness")
async def record_lateness(task: handlers.Task) -> None:
    """Records its lateness in the deployment's directory; unbuffered, because workers are killed."""
    late = time.time() - task.execution_time.timestamp()
    os.write(_open(f"late.{os.getpid()}"), f"{1000 * late}\n".encode())


@handlers.handler("span")
async def span(task: handlers.Task) -> None:
    """Records when it begins and when it ends, 5 ms later."""
    descriptor = _open(spans.NAME)
    spans.write(descriptor, begins=True, key=task.concurrency_key or "")
    await asyncio.sleep(0.005)
    spans.write(descriptor, begins=False, key=task.concurrency_key or "")


@functools.cache
def _open(name: str) -> int:
    path = pathlib.Path(os.environ["TEST_DIRECTORY"], name)
    return os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
