"""Watchers that record every event they receive, across lost connections."""

import asyncio
import contextlib
import dataclasses

import duetime_client
from duetime_client import TaskEvent
from tests.chaos import clock

_SILENCE_SECONDS = 5
_LIMIT_SECONDS = 45
"""A system that is broken on purpose may send events without end."""


@dataclasses.dataclass
class Seen:
    """The events of one watch, in order: (task_id, version, status)."""

    task_id: int | None
    """None for a watch of all tasks."""
    opened: float = 0.0
    """By the observations' clock."""
    events: list[tuple[int, int, str]] = dataclasses.field(default_factory=list)
    error: str = ""
    has_ended: bool = False

    def add(self, event: TaskEvent) -> None:
        """Records an event."""
        self.events.append((event.change.task_id, event.change.version, event.change.status.value))


class Watchers:
    """Watches of single tasks, which end with their tasks, and one of all tasks, which lasts until `close`."""

    def __init__(self, target: str) -> None:
        self._client = duetime_client.AsyncClient(target)
        self._is_open = False
        self._running: list[asyncio.Task[None]] = []
        self.seen: list[Seen] = []
        self._received = asyncio.Event()

    async def watch_all(self) -> None:
        """Starts the watch of all tasks; returns when it is open."""
        await self._client.__aenter__()
        self._is_open = True
        watch = self._client.watch_all()
        await watch.__aenter__()
        self._start(watch, Seen(None, clock.now()))

    def watch(self, task_id: int) -> None:
        """Starts a watch of one task."""
        self._start(self._client.watch(task_id), Seen(task_id, clock.now()))

    def _start(self, watch: duetime_client.AsyncWatch, seen: Seen) -> None:
        self.seen.append(seen)
        self._running.append(asyncio.create_task(self._follow(watch, seen)))

    async def wait_for(self, changes: int) -> None:
        """Waits until the watch of all has seen all changes and the others have ended, or no more events arrive."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LIMIT_SECONDS):
                await self._wait_for(changes)

    async def _wait_for(self, changes: int) -> None:
        while any(not seen.has_ended and (seen.task_id or len(set(seen.events)) < changes) for seen in self.seen):
            self._received.clear()
            await asyncio.wait_for(self._received.wait(), _SILENCE_SECONDS)

    async def close(self) -> None:
        """Ends the open watches."""
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._is_open:
            self._is_open = False
            await self._client.__aexit__()

    async def _follow(self, watch: duetime_client.AsyncWatch, seen: Seen) -> None:
        while True:
            try:
                async with contextlib.aclosing(watch):
                    async for event in watch:
                        seen.add(event)
                        self._received.set()
            except duetime_client.errors.Unavailable:
                # Only a watch that was never open ends this way; it is retried.
                if seen.task_id is not None and not seen.events:
                    watch = self._client.watch(seen.task_id)
                    continue
                seen.error = "UNAVAILABLE"
            except duetime_client.DuetimeError as error:
                seen.error = f"{error.reason}: {error}"
            seen.has_ended = True
            self._received.set()
            return
