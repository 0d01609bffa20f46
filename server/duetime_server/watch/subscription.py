"""One watch: its filter, the changes that wait for its caller, and how it ends."""

import asyncio
import collections
import contextlib
import dataclasses
from collections.abc import AsyncIterator

from duetime_core.model import namespace, snapshot
from duetime_core.store.log import feed
from duetime_server.tasks import filters

TASK_TERMINAL = "TASK_TERMINAL"
SERVER_STOPPING = "SERVER_STOPPING"
NEW_HISTORY = "NEW_HISTORY"
"""PostgreSQL was restarted or replaced: the watch reads again from its own position, unseen by its caller."""
WATCHER_TOO_SLOW = "WATCHER_TOO_SLOW"

HEARTBEAT_SECONDS = 15.0
"""The longest silence of a watch."""
MAX_WAITING = 1000
"""How many changes a caller may be behind, which bounds a watch's memory."""


class Watch:
    """A caller's view of the feed: of one task, or of all tasks of the call's namespace that match a filter."""

    def __init__(self, *, task_id: int | None = None, wanted: filters.WatchFilter | None = None) -> None:
        self.task_id = task_id
        self._namespace_id = namespace.current()
        self._wanted = wanted or filters.WatchFilter()
        self.version = 0
        """Of a watch of one task: the last version that was sent. Versions up to it are skipped in the feed."""
        self.sent: snapshot.Position | None = None
        """Of a watch of all: what was sent before it followed the feed. That is skipped in the feed."""
        self._fed: snapshot.Position | None = None  # how far the feed is read
        self._waiting: collections.deque[feed.Entry] = collections.deque()
        self._woken = asyncio.Event()
        self.end_reason: str | None = None

    def offer(self, entry: feed.Entry) -> None:
        """Queues a change of the feed if it is of the namespace, matches the filter and the watch has not ended."""
        is_own = entry.namespace_id == self._namespace_id
        if self.end_reason is not None or not is_own or not matches(self._wanted, entry):
            return
        if len(self._waiting) >= MAX_WAITING:
            self.end(WATCHER_TOO_SLOW)
            return
        self._waiting.append(entry)
        self._woken.set()

    def end(self, reason: str) -> None:
        """Ends the watch once its queued changes are sent."""
        if self.end_reason is None:
            self.end_reason = reason
            self._woken.set()

    def advance(self, position: snapshot.Position) -> None:
        """Records how far the feed is read."""
        self._fed = position

    async def changes(self) -> AsyncIterator[feed.Entry | None]:
        """Yields the changes as they arrive, and None after each silence of HEARTBEAT_SECONDS, until the watch ends."""
        while True:
            while self._waiting:
                entry = self._waiting.popleft()
                if entry.log.version > self.version and not self._was_sent(entry):
                    yield entry
            if self.end_reason is not None:
                return
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), HEARTBEAT_SECONDS)
                continue
            if not self._waiting and self.end_reason is None:  # a change may arrive just as the silence ends
                yield None

    def position_after(self, entry: feed.Entry) -> snapshot.Position:
        """Returns the position from which to resume after `entry` and all that was sent before it."""
        position = entry.position
        if self.sent is None or position.seen.covers(self.sent.seen):
            return position
        return dataclasses.replace(position, seen=self.sent.seen)

    def idle_position(self) -> snapshot.Position:
        """Returns the position from which to resume while no change waits."""
        assert self.sent is not None
        if self._fed is not None and self._fed.seen.covers(self.sent.seen):
            return self._fed
        return self.sent

    def _was_sent(self, entry: feed.Entry) -> bool:
        return self.sent is not None and self.sent.seen.sees(entry.xid)


def matches(wanted: filters.WatchFilter, entry: feed.Entry) -> bool:
    """Returns whether a change matches a filter: its task did after the change, or its queue and name did before."""
    log = entry.log
    if wanted.statuses and log.status not in wanted.statuses:
        return False
    return _is_of(wanted, log.queue, log.name) or _is_of(
        wanted, log.previous_queue or log.queue, log.previous_name or log.name
    )


def _is_of(wanted: filters.WatchFilter, queue: str | None, name: str | None) -> bool:
    # A row that has none, of a task that is no longer kept, may be what the watch waits for.
    return (None in (wanted.queue, queue) or wanted.queue == queue) and (
        None in (wanted.name, name) or wanted.name == name
    )
