"""Waiting for tasks through the client, as a user would, and the events that handlers record."""

import asyncio
import dataclasses
import datetime
import pathlib

import duetime_client

NOW = datetime.timedelta(0)


async def finished(client: duetime_client.AsyncClient, task_id: int, *, seconds: float = 30) -> duetime_client.Task:
    """Returns the task once it is finished."""
    async with asyncio.timeout(seconds):
        async for _ in client.watch(task_id):
            pass
    return await client.get(task_id)


async def reached(
    client: duetime_client.AsyncClient, task_id: int, change: str, *, seconds: float = 30
) -> duetime_client.TaskLog:
    """Returns the log row of that change, once it exists."""
    async with asyncio.timeout(seconds):
        async for event in client.watch(task_id):
            if event.change.change == change:
                return event.change
    async for log in client.logs(task_id):
        if log.change == change:
            return log
    raise AssertionError(f"task {task_id} ended without a log row {change!r}")


async def changes(client: duetime_client.AsyncClient, task_id: int) -> list[str]:
    """Returns the task's changes in order."""
    return [log.change async for log in client.logs(task_id)]


@dataclasses.dataclass(frozen=True)
class HandlerEvent:
    """A line that a handler wrote."""

    task_id: int
    attempt: int
    pid: int
    what: str


def handler_events(directory: pathlib.Path, *task_ids: int) -> list[HandlerEvent]:
    """Returns the events that the handlers of those tasks wrote, in order."""
    path = directory / "handler_events"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    events = [HandlerEvent(int(task_id), int(attempt), int(pid), what) for task_id, attempt, pid, what in lines]
    return [each for each in events if each.task_id in task_ids]


async def happened(directory: pathlib.Path, task_id: int, what: str, count: int = 1) -> list[HandlerEvent]:
    """Returns the task's events once there are so many of a kind: its start is logged before its handler begins."""
    async with asyncio.timeout(60):
        while True:
            events = handler_events(directory, task_id)
            if len([each for each in events if each.what == what]) >= count:
                return events
            await asyncio.sleep(0.05)
