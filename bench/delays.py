"""What handlers noted themselves: how late they started, each process in a file of its own."""

import asyncio
import pathlib

_POLL_SECONDS = 0.5


def read(directory: pathlib.Path) -> list[float]:
    """Returns, sorted, how many milliseconds after they were due handlers began."""
    paths = directory.glob("late.*")
    return sorted(float(line) for path in paths for line in path.read_text().splitlines())


async def wait_for(directory: pathlib.Path, count: int, *, seconds: float = 300) -> list[float]:
    """Returns them once there are so many. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if len(read(directory)) >= count:
                break
            await asyncio.sleep(_POLL_SECONDS)
    found = read(directory)
    if len(found) != count:
        raise AssertionError(f"{len(found)} handlers began for {count} tasks")
    return found
