"""The handlers that tests run. They append events to a file (O_APPEND), as a real side effect."""

import asyncio
import os
import pathlib
import threading
import time
from typing import Any

import pydantic

from duetime_worker import Fail, Retry, Task, handler


class Order(pydantic.BaseModel):
    """A typed task_data."""

    product: str
    amount: int = 1


def _record(run: Task, what: str) -> None:
    path = pathlib.Path(os.environ["TEST_DIRECTORY"]) / "handler_events"
    line = f"{run.task_id} {run.attempt} {os.getpid()} {what}\n"
    descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, line.encode())
    os.close(descriptor)


@handler("noop")
async def noop() -> None:
    """Does nothing."""


@handler("echo")
async def echo(run: Task) -> dict[str, Any]:
    """Returns its task_data."""
    _record(run, "echoed")
    return run.task_data


@handler("numbers")
async def numbers(run: Task) -> dict[str, Any]:
    """Returns its numbers, and Python's repr of each."""
    return {"shown": [repr(each) for each in run.task_data["numbers"]], "given": run.task_data["numbers"]}


@handler("sleep")
async def sleep(run: Task) -> dict[str, Any]:
    """Sleeps for the given seconds, as a coroutine."""
    _record(run, "began")
    try:
        await asyncio.sleep(run.task_data["seconds"])
    except asyncio.CancelledError:
        _record(run, "cancelled")
        raise
    _record(run, "ended")
    return {"slept": run.task_data["seconds"]}


@handler("moment")
async def moment(run: Task) -> None:
    """Records when it began and when it ended, 5 ms later."""
    _record(run, f"began@{time.time():.6f}")
    await asyncio.sleep(0.005)
    _record(run, f"ended@{time.time():.6f}")


@handler("compute")
async def compute(run: Task) -> None:
    """Computes for 5 ms, as a coroutine."""
    _record(run, "began")
    until = time.monotonic() + 0.005
    while time.monotonic() < until:
        pass


@handler("block")
def block(run: Task) -> dict[str, Any]:
    """Sleeps for the given seconds, as a plain function that checks for cancellation."""
    _record(run, "began")
    until = time.monotonic() + run.task_data["seconds"]
    while time.monotonic() < until:
        if run.cancelled:
            _record(run, "cancelled")
            return {}
        time.sleep(0.01)
    _record(run, "ended")
    return {"thread": threading.current_thread().name}


@handler("deaf")
def deaf(run: Task) -> None:
    """Sleeps for the given seconds, as a plain function that does not check for cancellation."""
    _record(run, "began")
    time.sleep(run.task_data["seconds"])
    _record(run, "ended")


@handler("stubborn")
async def stubborn(run: Task) -> None:
    """Ignores cancellation."""
    _record(run, "began")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            _record(run, "ignored")


@handler("fail")
def fail(run: Task) -> None:
    """Fails before the attempt `until_attempt`."""
    if run.attempt < run.task_data.get("until_attempt", 1_000_000):
        raise ValueError(f"attempt {run.attempt} failed")


@handler("never")
async def never() -> None:
    """Fails permanently."""
    raise Fail("this will never do")


@handler("later")
async def later(run: Task) -> None:
    """Asks once to run later."""
    if run.attempt == 1:
        raise Retry("come back later", after=run.task_data["after"])


@handler("exit")
def exit_process() -> None:
    """Exits the worker's process at once."""
    os._exit(1)


@handler("system exit")
def system_exit() -> None:
    """Raises SystemExit."""
    raise SystemExit("goodbye")


@handler("order", timeout=5)
async def order(ordered: Order) -> dict[str, Any]:
    """Takes typed task_data."""
    return {"total": ordered.amount, "product": ordered.product}


@handler("return")
async def return_invalid(run: Task) -> Any:
    """Returns values that cannot be stored."""
    match run.task_data["what"]:
        case "list":
            return [1, 2]
        case "set":
            return {"a": {1, 2}}
        case "nul":
            return {"a": "\0"}
        case "big":
            return {"a": "x" * 300_000}
        case "nan":
            return {"a": float("nan")}
    return None
