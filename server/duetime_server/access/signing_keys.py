"""The keys of one issuer, which are read again now and then, and when a token names one that is unknown.

The keys that were read last are kept while the issuer is unavailable. No token is accepted for longer than
KEPT_SECONDS, so those that it issued before are accepted as long as they would be without the outage.
"""

import asyncio
import time

import jwt

from duetime_core.model import errors
from duetime_core.process import outage
from duetime_server.access import issuers, key_sets, key_source

REFRESH_SECONDS = 300.0
"""How long a key may be accepted that the issuer has removed."""
RETRY_SECONDS = 60.0
"""The least time between two reads: anyone can send tokens that name unknown keys."""
KEPT_SECONDS = 86_400.0
"""How long the keys are kept while they cannot be read."""


class SigningKeys:
    """Knows the keys of an issuer. `run` belongs to it."""

    def __init__(self, alias: str, issuer: issuers.Issuer) -> None:
        self._issuer = issuer
        self._known: key_sets.KeySet | None = None
        self._read_at = 0.0
        self._attempted_at: float | None = None
        self._interval_seconds = RETRY_SECONDS
        self._reading: asyncio.Task[None] | None = None
        self._outage = outage.Outage(
            f"the issuer {alias}", "tokens are verified with the keys that are known, for a day at most"
        )

    def get(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        """Returns a key that is known: the same object until the issuer changes its keys."""
        return self._known.keys.get((kid, algorithm)) if self._known is not None and self._is_kept() else None

    async def find(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        """Returns a key, or None if the issuer has none like it. Raises IssuerUnavailable if its keys are unknown."""
        found = self.get(kid, algorithm)
        if found is None:
            await self._read_again()
            found = self.get(kid, algorithm)
        if found is None and (self._known is None or not self._is_kept()):
            raise errors.IssuerUnavailable
        return found

    async def run(self) -> None:
        """Reads the keys now and again, indefinitely."""
        while True:
            await self._read_again()
            attempted_at = time.monotonic() if self._attempted_at is None else self._attempted_at
            await asyncio.sleep(attempted_at + self._interval_seconds - time.monotonic())

    def _is_kept(self) -> bool:
        return time.monotonic() - self._read_at < KEPT_SECONDS

    async def _read_again(self) -> None:
        """Reads the keys, or waits for those who do, or returns at once if that was attempted within RETRY_SECONDS."""
        if self._reading is None:
            now = time.monotonic()
            if self._attempted_at is not None and now - self._attempted_at < RETRY_SECONDS:
                return
            self._attempted_at = now
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)  # others may wait for it, too

    async def _read(self) -> None:
        self._interval_seconds = RETRY_SECONDS
        try:
            content = await key_source.read(self._issuer)
            if self._known is None or content != self._known.content:
                self._known = key_sets.parse(content, self._issuer.algorithms)
        except (key_source.Failed, key_sets.Unusable) as error:
            self._outage.begin(error)
        else:
            self._read_at = time.monotonic()
            self._interval_seconds = REFRESH_SECONDS
            self._outage.end()
        finally:
            self._reading = None
