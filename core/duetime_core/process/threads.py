"""A thread for computations that may take tens of milliseconds, so that they do not block the event loop."""

import asyncio
import functools
import sys
from collections.abc import Callable
from concurrent import futures
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


async def run(
    function: Callable[_Parameters, _Result], *arguments: _Parameters.args, **named: _Parameters.kwargs
) -> _Result:
    """Runs `function` in the thread; returns or raises what it does. It must be bounded: nothing can interrupt it."""
    return await asyncio.get_running_loop().run_in_executor(_thread(), functools.partial(function, *arguments, **named))


_SWITCH_SECONDS = 0.001
"""How long the thread keeps the GIL. A call takes a dozen turns: with Python's default of 5 ms it would be late."""


@functools.cache
def _thread() -> futures.ThreadPoolExecutor:
    # One for the process: several would share the GIL with each other, and leave less of it to the event loop.
    sys.setswitchinterval(_SWITCH_SECONDS)
    return futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="computing")
