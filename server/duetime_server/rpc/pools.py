"""A server's connections to PostgreSQL: those of one kind of calls cannot be used up by another."""

import dataclasses
from typing import Self

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database

CREATES = 4
"""One for the creates that share commits, one for the handlers of new tasks, and two for batches."""
CONTROL = 6
READS = 10
"""`admission` and `watch.hub` let lists, bulk changes and watches that catch up use eight of them."""
KEYS = 3
"""One to read keys, one to note their use, and one to write audit events."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pools:
    """Each opens its connections as they are needed."""

    creates: sqlalchemy_asyncio.AsyncEngine
    """For creates of tasks: they continue while all other calls wait for a lock or a slow disk."""
    control: sqlalchemy_asyncio.AsyncEngine
    """For calls about one task, schedule or queue: operators can cancel and pause whatever else runs."""
    reads: sqlalchemy_asyncio.AsyncEngine
    """For calls about many rows, and for watches."""
    keys: sqlalchemy_asyncio.AsyncEngine
    """For authenticating callers: operators can whatever else runs. Without authentication it opens none."""

    @classmethod
    def connect(cls, database_url: str) -> Self:
        """Returns the pools of a server."""
        return cls(*(database.connect(database_url, pool_size=size) for size in (CREATES, CONTROL, READS, KEYS)))

    async def dispose(self) -> None:
        """Closes all connections."""
        for engine in (self.creates, self.control, self.reads, self.keys):
            await engine.dispose()
