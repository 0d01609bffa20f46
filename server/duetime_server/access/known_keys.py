"""What the database said of the API keys that callers gave, and reading it: many keys in one statement."""

import asyncio
import collections
import dataclasses
import datetime
import itertools
import time
from collections.abc import Collection

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.store.api_keys import read as key_read

MAX_KEYS = 10_000
"""How many known keys are remembered, and how many ids that no key has: some MB each."""
_MAX_WAITING = 10_000
_MAX_READ = 1_000
_READ_SECONDS = 2.0
_RETRY_SECONDS = 1.0
"""How long after a failure it is not attempted again: calls would wait for it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What the database said of an id, or None if no key has it."""

    known: key_read.Known | None
    read_at: float
    """When it was asked, by the monotonic clock: nothing depends on the time of this machine."""

    def is_in_force(self, now: float) -> bool:
        """Returns whether the key is accepted at that time."""
        if self.known is None or self.known.key.revoked_at is not None:
            return False
        expires_in = self.known.expires_in
        return expires_in is None or datetime.timedelta(seconds=now - self.read_at) < expires_in


class KnownKeys:
    """Remembers what it read. Ids that no key has are remembered apart, so that they replace no key."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine) -> None:
        self._engine = engine
        self._keys: collections.OrderedDict[str, Entry] = collections.OrderedDict()
        self._misses: collections.OrderedDict[str, Entry] = collections.OrderedDict()
        self._waiting: dict[str, asyncio.Future[Entry]] = {}
        self._forgotten: set[str] = set()  # while a statement runs, which may have read them before
        self._reader: asyncio.Task[None] | None = None
        self._failed_at: float | None = None

    def get(self, key_id: str) -> Entry | None:
        """Returns what is remembered."""
        for entries in (self._keys, self._misses):
            if (entry := entries.get(key_id)) is not None:
                entries.move_to_end(key_id)
                return entry
        return None

    def forget(self, key_ids: Collection[str]) -> None:
        """Forgets keys, and what is being read of them."""
        if self._reader is not None:
            self._forgotten.update(key_ids)
        for key_id in key_ids:
            self._keys.pop(key_id, None)
            self._misses.pop(key_id, None)

    async def read(self, key_id: str) -> Entry:
        """Reads a key. Raises StoreUnavailable, ServerBusy."""
        if self._failed_at is not None and time.monotonic() - self._failed_at < _RETRY_SECONDS:
            raise errors.StoreUnavailable
        future = self._waiting.get(key_id)
        if future is None:
            if len(self._waiting) >= _MAX_WAITING:
                raise errors.ServerBusy
            future = self._waiting[key_id] = asyncio.get_running_loop().create_future()
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_waiting())
        return await asyncio.shield(future)

    async def _read_waiting(self) -> None:
        """Reads what calls wait for, one statement after another."""
        try:
            while self._waiting:
                key_ids = list(itertools.islice(self._waiting, _MAX_READ))
                await self._read_some({key_id: self._waiting.pop(key_id) for key_id in key_ids})
        finally:
            self._reader = None
            self._forgotten.clear()

    async def _read_some(self, taken: dict[str, asyncio.Future[Entry]]) -> None:
        self._forgotten.clear()
        read_at = time.monotonic()
        try:
            found = await self._find(list(taken))
        except Exception as error:
            if isinstance(error, errors.StoreUnavailable):
                self._failed_at = time.monotonic()
            for future in taken.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # its callers may have hung up: otherwise asyncio would log that
            return
        self._failed_at = None
        for key_id, future in taken.items():
            entry = Entry(found.get(key_id), read_at)
            if key_id not in self._forgotten:
                self._remember(key_id, entry)
            if not future.done():
                future.set_result(entry)

    async def _find(self, key_ids: list[str]) -> dict[str, key_read.Known]:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                return await key_read.find(self._engine, key_ids)
        except TimeoutError:
            raise errors.StoreUnavailable from None

    def _remember(self, key_id: str, entry: Entry) -> None:
        entries, others = (self._misses, self._keys) if entry.known is None else (self._keys, self._misses)
        others.pop(key_id, None)
        entries[key_id] = entry
        entries.move_to_end(key_id)
        while len(entries) > MAX_KEYS:
            entries.popitem(last=False)
