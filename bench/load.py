"""Load: programs of `bench` that run in a process of their own, so that what they cost is not the measuring one's."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any


class Load:
    """A program that runs. It may print lines before, and last a JSON object.

    What it prints is short: Python loses the rest of a long line whose write the system cuts short where
    PYTHONUNBUFFERED is set.
    """

    def __init__(self, program: str, process: asyncio.subprocess.Process) -> None:
        self._program = program
        self._process = process

    async def until_ready(self, *, seconds: float = 120) -> None:
        """Returns once it printed its first line. Raises TimeoutError."""
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds):
            if not await self._process.stdout.readline():
                raise RuntimeError(f"{self._program} ended before it was ready")

    async def result(self, *, seconds: float = 120) -> dict[str, Any]:
        """Returns the JSON object, once it has ended. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            output, _ = await self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"{self._program} failed")
        answer: dict[str, Any] = json.loads(output.splitlines()[-1])
        return answer


@contextlib.asynccontextmanager
async def started(program: str, *arguments: object, given: object = None) -> AsyncIterator[Load]:
    """Runs `python -m bench.…` with arguments, and with `given` as JSON on its standard input; ends it at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"bench.{program}", *map(str, arguments)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(given).encode())
    process.stdin.close()
    try:
        yield Load(program, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
