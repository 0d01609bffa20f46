"""The handlers of chaos: they record in a file outside the system, with O_APPEND, when runs began and ended."""

import asyncio
import json
import os
import pathlib
import signal

from duetime_worker import Task, handler
from tests.chaos import clock

FILE = "runs"
NAMES = ("chaos", "other")
"""The names between which callers move tasks."""


def _record(run: Task, what: str) -> None:
    entry = {
        "what": what,
        "task_id": run.task_id,
        "version": run.version,
        "pid": os.getpid(),
        "at": clock.now(),
        "token": run.task_data["token"],
    }
    path = pathlib.Path(os.environ["TEST_DIRECTORY"]) / FILE
    descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, json.dumps(entry).encode() + b"\n")
    os.close(descriptor)


@handler(NAMES[0])
async def work(run: Task) -> None:
    """Takes `seconds`, and fails up to the attempt `fails`."""
    _record(run, "began")
    await asyncio.sleep(run.task_data.get("seconds", 0))
    if run.attempt <= run.task_data.get("fails", 0):
        raise RuntimeError("failed on purpose")
    _record(run, "ended")


@handler(NAMES[1])
async def work_by_another_name(run: Task) -> None:
    """Does the same."""
    await work(run)


@handler("poison")
def poison(run: Task) -> None:
    """Kills its worker."""
    _record(run, "began")
    os.kill(os.getpid(), signal.SIGKILL)


@handler("endless")
async def endless(run: Task) -> None:
    """Does not end, even when it is cancelled."""
    _record(run, "began")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
