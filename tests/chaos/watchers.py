"""Watchers that record every event they receive, across lost connections."""

import asyncio
import contextlib
import dataclasses
import datetime
from collections.abc import Callable
from typing import NamedTuple

import duetime_client
from duetime_client import TaskEvent
from tests.chaos import clock, handlers, world

_SILENCE_SECONDS = 10
_LIMIT_SECONDS = 45
"""A system that is broken on purpose may send events without end."""
_PIECE_SECONDS = 0.7
"""How long a watch is open, and then closed, that is resumed again and again until the load ends."""


class Event(NamedTuple):
    """An event of a watch: a row of the log, which only the version of its task identifies, as long as none is lost."""

    task_id: int
    version: int
    status: str
    timestamp: datetime.datetime


@dataclasses.dataclass
class Seen:
    """The events of one watch, in order."""

    task_id: int | None
    """None for a watch of all tasks that match `queue` and `name`."""
    opened: float = 0.0
    """By the observations' clock."""
    events: list[Event] = dataclasses.field(default_factory=list)
    queue: str = ""
    name: str = ""
    since: float = 0.0
    """For a watch of all that began while nothing changed: when it began."""
    error: str = ""
    has_ended: bool = False

    def add(self, event: TaskEvent) -> None:
        """Records an event."""
        change = event.change
        self.events.append(Event(change.task_id, change.version, change.status.value, change.timestamp))


class Watchers:
    """Watches of single tasks, which end with their tasks, and of all tasks, which last until `close`."""

    def __init__(self, target: str) -> None:
        self._client = duetime_client.AsyncClient(target)
        self._is_open = False
        self._is_settling = False
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

    async def watch_from_now(self) -> None:
        """Starts another watch of all tasks, while nothing changes."""
        watch = self._client.watch_all()
        await watch.__aenter__()
        self._start(watch, Seen(None, clock.now(), since=clock.now()))

    async def watch_filtered(self) -> None:
        """Starts watches of a queue and of a name: each one that stays open, and one that is resumed repeatedly."""
        for queue, name in ((world.QUEUES[1], ""), ("", handlers.NAMES[1])):
            watch = self._open_filtered(queue, name)
            await watch.__aenter__()
            self._start(watch, Seen(None, clock.now(), queue=queue, name=name))
            resumed = Seen(None, clock.now(), queue=queue, name=name)
            self.seen.append(resumed)
            self._running.append(asyncio.create_task(self._follow_in_pieces(resumed, watch.cursor)))

    def _open_filtered(self, queue: str, name: str, cursor: str = "") -> duetime_client.AsyncWatch:
        return self._client.watch_all(queue=queue or None, name=name or None, cursor=cursor or None)

    def watch(self, task_id: int) -> None:
        """Starts a watch of one task."""
        self._start(self._client.watch(task_id), Seen(task_id, clock.now()))

    def _start(self, watch: duetime_client.AsyncWatch, seen: Seen) -> None:
        self.seen.append(seen)
        self._running.append(asyncio.create_task(self._follow(watch, seen)))

    async def wait_for(self, expected: Callable[[Seen], set[Event]]) -> None:
        """Waits until each watch has seen what is expected, or has ended, or no more events arrive."""
        self._is_settling = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LIMIT_SECONDS):
                await self._wait_for(expected)

    async def _wait_for(self, expected: Callable[[Seen], set[Event]]) -> None:
        remaining = {id(seen): expected(seen) for seen in self.seen if seen.task_id is None}
        while any(
            not seen.has_ended and (seen.task_id or not remaining[id(seen)] <= set(seen.events)) for seen in self.seen
        ):
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

    async def _follow_in_pieces(self, seen: Seen, cursor: str) -> None:
        while True:
            watch = self._open_filtered(seen.queue, seen.name, cursor)
            try:
                # Once the load has ended, it stays open: on a busy machine, a piece may be too short for any event.
                limit = None if self._is_settling else _PIECE_SECONDS
                async with asyncio.timeout(limit), contextlib.aclosing(watch):
                    async for event in watch:
                        seen.add(event)
                        self._received.set()
            except (TimeoutError, duetime_client.errors.Unavailable, duetime_client.errors.DeadlineExceeded):
                cursor = watch.cursor
            except duetime_client.DuetimeError as error:
                seen.error = f"{error.reason}: {error}"
                seen.has_ended = True
                self._received.set()
                return
            await asyncio.sleep(_PIECE_SECONDS)

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
