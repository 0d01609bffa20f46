"""Offloads reading large requests and writing large responses from the event loop to a thread."""

import contextvars
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import google.protobuf.message

from duetime_core.model import schedule, task
from duetime_core.process import threads
from duetime_server.rpc import limiter

INLINE_BYTES = 16 * 1024
"""Requests up to this size are read on the loop, in a few milliseconds. Ordinary ones have a few hundred bytes."""
request_bytes: contextvars.ContextVar[int] = contextvars.ContextVar("request_bytes", default=0)
"""The size of the call's request. Asking a large message for its size takes milliseconds."""
_MANY_VALUES = 2_000
_TURN_SECONDS = 0.005
"""How long a list of small rows is written on the loop before the rest is offloaded."""
_MAX_LARGE_ROWS = 2
_MAX_WAITING = 1_000
_WAIT_SECONDS = 5.0

_Row = TypeVar("_Row")
_Result = TypeVar("_Result")


class Offload:
    """Reads requests and writes responses, the large ones in the thread."""

    def __init__(self) -> None:
        self._large_rows = limiter.Limiter(
            "large tasks and schedules", limit=_MAX_LARGE_ROWS, max_waiting=_MAX_WAITING, wait_seconds=_WAIT_SECONDS
        )

    async def read(
        self, function: Callable[..., _Result], request: google.protobuf.message.Message, *arguments: Any
    ) -> _Result:
        """Returns or raises what `function` does with a call's request; runs it in the thread if that is large."""
        if request_bytes.get() <= INLINE_BYTES:
            return function(request, *arguments)
        return await threads.run(function, request, *arguments)

    async def write(self, function: Callable[[_Row], _Result], row: _Row) -> _Result:
        """Returns `function(row)`; runs it in the thread if the row is large."""
        return await threads.run(function, row) if _is_large(row) else function(row)

    async def find(self, function: Callable[[_Row], _Result], find: Callable[[], Awaitable[_Row]]) -> _Result:
        """Returns `function` of the row that `find` returns. Raises ServerBusy, and what `find` raises."""
        if not _is_large(row := await find()):
            return function(row)
        del row  # a thousand callers, each with a large one, would hold them all while they wait
        async with self._large_rows.slot():
            return await threads.run(function, await find())

    async def write_all(self, function: Callable[[_Row], _Result], rows: Sequence[_Row]) -> list[_Result]:
        """Returns `function` of each row; runs it in the thread once it takes long."""
        began = time.monotonic()
        written: list[_Result] = []
        for row in rows:
            if _is_large(row) or time.monotonic() - began > _TURN_SECONDS:
                return written + await threads.run(_all, function, rows[len(written) :])
            written.append(function(row))
        return written


def _all(function: Callable[[_Row], _Result], rows: Iterable[_Row]) -> list[_Result]:
    return [function(row) for row in rows]


def _is_large(row: object) -> bool:
    """Returns whether a task or schedule has so many values that writing them takes milliseconds."""
    match row:
        case task.Task():
            values: list[Any] = [row.task_data, row.result]
        case schedule.Schedule():
            values = [row.template.task_data]
        case _:
            return False
    left = _MANY_VALUES
    while values and left > 0:
        value = values.pop()
        if isinstance(value, dict | list):
            left -= len(value)
            values.extend(value.values() if isinstance(value, dict) else value)
    return left <= 0
