"""Waiting until tasks are due and until they are completed, with little load."""

import asyncio
import datetime

from bench import harness, histories

_POLL_SECONDS = 0.5
_SETTLED_SECONDS = 6.0
_CREATED_PER_SECOND = 2_000  # far below a client's rate, so that all are created in time


def due_after_creating(tasks: int, *, per_second: int = _CREATED_PER_SECOND) -> datetime.datetime:
    """Returns a time by which so many tasks can be created, starting now."""
    ahead = _SETTLED_SECONDS + tasks / per_second
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead)


async def until_completed(deployment: harness.Deployment, tasks: int, *, after: int = 0, seconds: float = 300) -> None:
    """Returns once `tasks` tasks with a task_id above `after` have completed. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if await histories.completed(deployment, after=after) >= tasks:
                return
            await asyncio.sleep(_POLL_SECONDS)


async def until(due: datetime.datetime) -> None:
    """Returns at this time. Fails if it has already passed."""
    ahead = due - datetime.datetime.now(datetime.UTC)
    if ahead < datetime.timedelta(0):
        raise AssertionError("the tasks were due before all were created: the machine is too busy for this measurement")
    await asyncio.sleep(ahead.total_seconds())
