"""Load generators: programs of `bench` in separate processes, so that their cost does not affect the measuring one."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any


class Load:
    """A running program. Its last line of output is a JSON object.

    The output must be short: with PYTHONUNBUFFERED, Python loses the rest of a long line after a partial write.
    """

    def __init__(self, program: str, process: asyncio.subprocess.Process) -> None:
        self._program = program
        self._process = process

    async def until_ready(self, *, seconds: float = 120) -> None:
        """Returns once it has printed its first line. Raises TimeoutError."""
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds):
            if not await self._process.stdout.readline():
                raise RuntimeError(f"{self._program} exited before it was ready")

    async def result(self, *, seconds: float = 120) -> dict[str, Any]:
        """Returns the JSON object once the program has exited. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            output, _ = await self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"{self._program} failed")
        answer: dict[str, Any] = json.loads(output.splitlines()[-1])
        return answer


@contextlib.asynccontextmanager
async def started(program: str, *arguments: object, given: object = None) -> AsyncIterator[Load]:
    """Runs `python -m bench.…` with arguments and with `given` as JSON on standard input; kills it at the end."""
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
