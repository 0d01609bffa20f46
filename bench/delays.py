"""Lateness recorded by handlers, one file per process."""

import asyncio
import pathlib

_POLL_SECONDS = 0.5


def read(directory: pathlib.Path) -> list[float]:
    """Returns the sorted lateness of all handlers' starts, in milliseconds."""
    paths = directory.glob("late.*")
    return sorted(float(line) for path in paths for line in path.read_text().splitlines())


async def wait_for(directory: pathlib.Path, count: int, *, seconds: float = 300) -> list[float]:
    """Returns them once there are `count`. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if len(read(directory)) >= count:
                break
            await asyncio.sleep(_POLL_SECONDS)
    found = read(directory)
    if len(found) != count:
        raise AssertionError(f"{len(found)} handlers started for {count} tasks")
    return found
