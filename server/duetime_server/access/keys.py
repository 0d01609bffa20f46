"""Authenticates callers by their API keys, which it reads from the database and remembers for a few seconds.

A revoked key is refused at once where Redis carries the hint, and otherwise within FRESH_SECONDS. While the database is
unavailable, a key that was accepted before is accepted for KEPT_SECONDS, and any other call fails with
StoreUnavailable: nobody is let in unknown.
"""

import asyncio
import contextlib
import datetime
import time

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import access, api_key, errors
from duetime_core.redis import client as redis_client
from duetime_core.redis import hints
from duetime_core.store.api_keys import read as key_read
from duetime_core.store.api_keys import usage
from duetime_server import access as access_context
from duetime_server.access import attempts, known_keys

FRESH_SECONDS = 5.0
KEPT_SECONDS = 60.0
_NOTE_SECONDS = 60.0
"""How often the last uses are written, all in one statement, and the ids of all keys are read, in another."""

_NOBODY = api_key.Token.create()
"""What the secret of an unknown key is compared with, so that it takes as long as that of a known one."""


class KeyRefused(errors.CredentialsInvalid):
    """The secret is not that of the key with its id, or the key is not in force. Callers do not learn which."""

    def __init__(self, key: api_key.ApiKey) -> None:
        super().__init__(errors.CredentialsInvalid.__doc__)
        self.key_id, self.namespace_id = key.key_id, key.namespace_id


class KeyAuthenticator:
    """Knows the principals of API keys. `run` and `listen` belong to it."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine) -> None:
        self._engine = engine
        self._known = known_keys.KnownKeys(engine)
        self._attempts = attempts.Attempts()
        self._existing: frozenset[str] = frozenset()  # ids of keys that may not have been used yet
        self._used: dict[str, tuple[float, str]] = {}  # by key: when, by the monotonic clock, and from where

    async def authenticate(self, token: str) -> access.Principal:
        """Returns who calls with that key. Raises CredentialsInvalid, StoreUnavailable, ServerBusy."""
        try:
            given = api_key.Token.parse(token)
        except api_key.Malformed:
            raise errors.CredentialsInvalid from None
        entry = self._known.get(given.key_id)
        if entry is None or time.monotonic() - entry.read_at >= FRESH_SECONDS:
            is_attempt = (entry is None or entry.known is None) and given.key_id not in self._existing
            entry = await (self._attempt(given.key_id, entry) if is_attempt else self._read(given.key_id, entry))
        if entry.known is None:
            given.matches(_NOBODY.digest())
            raise errors.CredentialsInvalid
        now = time.monotonic()
        if not given.matches(entry.known.digest) or not entry.is_in_force(now):
            raise KeyRefused(entry.known.key)
        _, address = self._used.get(given.key_id, (now, ""))
        self._used[given.key_id] = (now, address)
        return entry.known.key.principal()

    def came_from(self, principal: access.Principal, address: str) -> None:
        """Notes from where a key was used, which is known later than that it was."""
        self._used[principal.key_id] = (time.monotonic(), address)

    async def _attempt(self, key_id: str, before: known_keys.Entry | None) -> known_keys.Entry:
        """Reads a key that was not known. Raises CallRateExceeded if its address has tried too many others."""
        address = access_context.address()
        self._attempts.begin(address)
        try:
            entry = await self._read(key_id, before)
        except Exception:  # but not if the caller hung up: the key is looked up all the same
            self._attempts.withdraw(address)
            raise
        if entry.known is not None:
            self._attempts.withdraw(address)
        return entry

    async def _read(self, key_id: str, before: known_keys.Entry | None) -> known_keys.Entry:
        try:
            return await self._known.read(key_id)
        except errors.StoreUnavailable:
            # A hint may have removed it meanwhile.
            is_kept = before is not None and before is self._known.get(key_id) and before.known is not None
            if before is None or not is_kept or time.monotonic() - before.read_at >= KEPT_SECONDS:
                raise
            return before

    async def listen(self, client: redis_client.Client) -> None:
        """Forgets the keys that hints name, indefinitely: the next call with one reads it again."""
        async for key_ids in hints.listen_for_keys(client, client.names.keys):
            self._known.forget(key_ids)

    async def run(self) -> None:
        """Notes the last uses of keys, and learns which keys exist, indefinitely."""
        while True:
            with contextlib.suppress(errors.StoreUnavailable):
                await self.learn_ids()
            await asyncio.sleep(_NOTE_SECONDS)
            with contextlib.suppress(errors.StoreUnavailable):
                await self.note_uses()

    async def learn_ids(self) -> None:
        """Reads which keys exist, so that a flood of unknown ones keeps none of them out. Raises StoreUnavailable.

        Otherwise one caller behind a proxy could keep out all others there, whose address it shares, when this server
        starts and has seen none of their keys.
        """
        self._existing = await key_read.ids(self._engine, limit=known_keys.MAX_KEYS)

    async def note_uses(self) -> None:
        """Writes when and from where keys were used since it was last called. Raises StoreUnavailable."""
        used, self._used = self._used, {}
        if not used:
            return
        now = time.monotonic()
        uses = {
            key_id: usage.Use(datetime.timedelta(seconds=now - at), address) for key_id, (at, address) in used.items()
        }
        try:
            await usage.note(self._engine, uses)
        except errors.StoreUnavailable:
            self._used = used | self._used
            raise
