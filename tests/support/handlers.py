"""The handlers that tests run. They tell what happens to them in a file, with O_APPEND, as a real effect would."""

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


def _tell(run: Task, what: str) -> None:
    path = pathlib.Path(os.environ["TEST_DIRECTORY"]) / "told"
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
    _tell(run, "echoed")
    return run.task_data


@handler("numbers")
async def numbers(run: Task) -> dict[str, Any]:
    """Returns the numbers that it is given, and how Python shows them."""
    return {"shown": [repr(each) for each in run.task_data["numbers"]], "given": run.task_data["numbers"]}


@handler("sleep")
async def sleep(run: Task) -> dict[str, Any]:
    """Takes as many seconds as it is told, as a coroutine."""
    _tell(run, "began")
    try:
        await asyncio.sleep(run.task_data["seconds"])
    except asyncio.CancelledError:
        _tell(run, "cancelled")
        raise
    _tell(run, "ended")
    return {"slept": run.task_data["seconds"]}


@handler("moment")
async def moment(run: Task) -> None:
    """Tells when it began and when it ended, 5 ms later."""
    _tell(run, f"began@{time.time():.6f}")
    await asyncio.sleep(0.005)
    _tell(run, f"ended@{time.time():.6f}")


@handler("block")
def block(run: Task) -> dict[str, Any]:
    """Takes as many seconds as it is told, as a plain function that looks whether it is cancelled."""
    _tell(run, "began")
    until = time.monotonic() + run.task_data["seconds"]
    while time.monotonic() < until:
        if run.cancelled:
            _tell(run, "cancelled")
            return {}
        time.sleep(0.01)
    _tell(run, "ended")
    return {"thread": threading.current_thread().name}


@handler("stubborn")
async def stubborn(run: Task) -> None:
    """Takes no notice of being cancelled."""
    _tell(run, "began")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            _tell(run, "ignored")


@handler("fail")
def fail(run: Task) -> None:
    """Fails, until the attempt that it is told."""
    if run.attempt < run.task_data.get("until_attempt", 1_000_000):
        raise ValueError(f"attempt {run.attempt} failed")


@handler("never")
async def never() -> None:
    """Says that it will never do."""
    raise Fail("this will never do")


@handler("later")
async def later(run: Task) -> None:
    """Says once that it wants to run later."""
    if run.attempt == 1:
        raise Retry("come back later", after=run.task_data["after"])


@handler("exit")
def exit_process() -> None:
    """Ends its worker without a word."""
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
async def give_back(run: Task) -> Any:
    """Returns what no handler should."""
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
