"""Computations that may take tens of milliseconds, in a thread of their own: others' calls go on meanwhile."""

import asyncio
import functools
import sys
from collections.abc import Callable
from concurrent import futures
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


async def apart(
    function: Callable[_Parameters, _Result], *arguments: _Parameters.args, **named: _Parameters.kwargs
) -> _Result:
    """Returns or raises what `function` does. It must be bounded itself, because nothing can interrupt it."""
    return await asyncio.get_running_loop().run_in_executor(_thread(), functools.partial(function, *arguments, **named))


_SWITCH_SECONDS = 0.001
"""After which the thread lets the event loop have a turn. A call takes a dozen: at Python's 5 ms it would be late."""


@functools.cache
def _thread() -> futures.ThreadPoolExecutor:
    # One for the process: several would only take turns with each other, and the event loop would get fewer.
    sys.setswitchinterval(_SWITCH_SECONDS)
    return futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="computing")
