"""The lane: what takes long to read or write is done beside the event loop, by the thread of `computing`."""

import contextvars
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import google.protobuf.message

from duetime_core.model import schedule, task
from duetime_core.process import threads
from duetime_server.rpc import limiter

INLINE_BYTES = 16 * 1024
"""What is read on the loop itself, in a few milliseconds at most. Ordinary requests are a few hundred bytes."""
request_bytes: contextvars.ContextVar[int] = contextvars.ContextVar("request_bytes", default=0)
"""How long the message is that a call reads. To ask the message costs milliseconds where it matters."""
_MANY_VALUES = 2_000
_TURN_SECONDS = 0.005
"""How long many small ones are written on the loop."""
_MOST_WHOLE = 2
_LINE = 1_000
_PATIENCE_SECONDS = 5.0

_Row = TypeVar("_Row")
_Result = TypeVar("_Result")


class Offload:
    """Reads requests and writes answers, the large ones in the thread."""

    def __init__(self) -> None:
        self._whole = limiter.Limiter(
            "large tasks and schedules", most=_MOST_WHOLE, room=_LINE, patience=_PATIENCE_SECONDS
        )

    async def read(
        self, function: Callable[..., _Result], request: google.protobuf.message.Message, *arguments: Any
    ) -> _Result:
        """Returns or raises what `function` does with a call's request: in the thread if that is large."""
        if request_bytes.get() <= INLINE_BYTES:
            return function(request, *arguments)
        return await threads.apart(function, request, *arguments)

    async def write(self, function: Callable[[_Row], _Result], row: _Row) -> _Result:
        """Returns what `function` makes of a row: in the thread if that is large."""
        return await threads.apart(function, row) if _is_large(row) else function(row)

    async def find(self, function: Callable[[_Row], _Result], find: Callable[[], Awaitable[_Row]]) -> _Result:
        """Returns what `function` makes of the row that `find` finds. Raises ServerBusy, and what `find` does."""
        if not _is_large(row := await find()):
            return function(row)
        del row  # a thousand callers, each with a large one, wait in line without it
        async with self._whole.entered():
            return await threads.apart(function, await find())

    async def write_all(self, function: Callable[[_Row], _Result], rows: Sequence[_Row]) -> list[_Result]:
        """Returns what `function` makes of each row: in the thread from where it takes long."""
        began = time.monotonic()
        written: list[_Result] = []
        for row in rows:
            if _is_large(row) or time.monotonic() - began > _TURN_SECONDS:
                return written + await threads.apart(_all, function, rows[len(written) :])
            written.append(function(row))
        return written


def _all(function: Callable[[_Row], _Result], rows: Iterable[_Row]) -> list[_Result]:
    return [function(row) for row in rows]


def _is_large(row: object) -> bool:
    """Tells whether a task or schedule has so many values that they take milliseconds to write."""
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
