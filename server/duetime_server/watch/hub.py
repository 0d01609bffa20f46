"""The hub reads the feed of changes once for all watches of this server, and distributes them."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Sequence

import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, namespace, snapshot, task
from duetime_core.process import outage
from duetime_core.redis import client as redis_client
from duetime_core.redis import hints
from duetime_core.store.log import feed
from duetime_server.watch import subscription

POLL_SECONDS = 1.0
"""How often the hub reads without a hint: the lateness of watches while Redis is unavailable."""
_PAGE = 1000
CATCH_UP_PAGE = 200
"""Changes that a watch which catches up holds in memory, about 160 KB; the hub's own page is shared by all."""
_MAX_CATCHING_UP = 3
"""How many watches catch up at a time: after a restart all do, and calls need connections too."""

_log = structlog.get_logger()


class Hub:
    """Reads new changes after a hint, or each second without one; reads nothing while there is no watch."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine, database_outage: outage.Outage) -> None:
        self._engine = engine
        self._database_outage = database_outage
        self._of_task: dict[int, set[subscription.Watch]] = collections.defaultdict(set)
        self._of_all: set[subscription.Watch] = set()
        self._position: snapshot.Position | None = None
        self._opening = asyncio.Lock()
        self._hinted = asyncio.Event()
        self._catching_up = asyncio.Semaphore(_MAX_CATCHING_UP)
        self._is_stopping = False

    @contextlib.asynccontextmanager
    async def subscribed(self, watching: subscription.Watch) -> AsyncIterator[None]:
        """Offers `watching` every change that is committed during the block."""
        async with self._opening:
            if self._position is None:
                self._position = await feed.now(self._engine)
        watches = self._of_all if watching.task_id is None else self._of_task[watching.task_id]
        watches.add(watching)
        if self._is_stopping:
            watching.end(subscription.SERVER_STOPPING)
        try:
            yield
        finally:
            watches.discard(watching)
            if watching.task_id is not None and not watches:
                self._of_task.pop(watching.task_id, None)

    async def catch_up(self, position: snapshot.Position) -> feed.Page:
        """Reads the next page for a watch that catches up, of the namespace of its call."""
        async with self._catching_up:
            return await feed.read(self._engine, position, namespace_id=namespace.current(), limit=CATCH_UP_PAGE)

    async def catch_up_with_task(self, task_id: int, *, after_version: int) -> Sequence[task.TaskLog]:
        """Reads the next page of one task's log for a watch that catches up; the last page is not full."""
        async with self._catching_up:
            return await feed.read_task(self._engine, task_id, after_version=after_version, limit=CATCH_UP_PAGE)

    async def run(self) -> None:
        """Reads and distributes changes until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hinted.wait(), POLL_SECONDS)
            self._hinted.clear()
            try:
                await self._read()
            except errors.StoreUnavailable as error:
                self._database_outage.begin(error)
                await asyncio.sleep(POLL_SECONDS)
            except errors.InvalidArgument:
                # The database is another one, or has lost its history. Callers learn it from their own cursors.
                _log.warning("all watches ended: the database lost changes")
                self._restart(subscription.SERVER_STOPPING)
            else:
                self._database_outage.end()

    async def listen(self, client: redis_client.Client) -> None:
        """Listens for hints until cancelled."""
        async for changed in hints.listen(client, client.names.changes):
            if self._of_all or not self._of_task.keys().isdisjoint(changed):
                self._hinted.set()

    def stop(self) -> None:
        """Ends all watches, and every new one."""
        self._is_stopping = True
        self._end_all(subscription.SERVER_STOPPING)

    def _restart(self, reason: str) -> None:
        self._position = None
        self._end_all(reason)

    def _end_all(self, reason: str) -> None:
        for watching in (*self._of_all, *(each for watches in self._of_task.values() for each in watches)):
            watching.end(reason)

    async def _read(self) -> None:
        is_last = False
        while not is_last:
            async with self._opening:
                if not self._of_all and not self._of_task:
                    self._position = None
                if self._position is None:
                    return
                task_ids = None if self._of_all else list(self._of_task)
                page = await feed.read(self._engine, self._position, namespace_id=None, task_ids=task_ids, limit=_PAGE)
                if page.history != self._position.history:
                    # Each watch knows best what it has sent, and reads again from there.
                    _log.info("PostgreSQL was restarted or replaced: watches continue from their own positions")
                    self._restart(subscription.NEW_HISTORY)
                    return
                self._position, is_last = page.position, page.is_last
            self._distribute(page)
        for watching in self._of_all:
            watching.advance(page.position)

    def _distribute(self, page: feed.Page) -> None:
        for entry in page.entries:
            for watching in (*self._of_all, *self._of_task.get(entry.log.task_id, ())):
                watching.offer(entry)
