"""Token buckets, one for each owner, in memory."""

import collections
import dataclasses
import time
from collections.abc import Callable

MAX_OWNERS = 10_000
"""How many are remembered, in a few MB. Those that were used last; any other begins anew, with a full bucket."""


@dataclasses.dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """The buckets of all owners: each is refilled at `per_second`, up to `capacity`."""

    def __init__(self, per_second: float, capacity: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._capacity = capacity
        self._clock = clock
        self._buckets: collections.OrderedDict[str, _Bucket] = collections.OrderedDict()

    def take(self, owner: str, tokens: float, *, patience_seconds: float = 0.0) -> float:
        """Takes tokens, and returns after how many seconds there are enough: 0 if there are now.

        If that is more than `patience_seconds`, it takes none. A full bucket is enough for any number.
        """
        bucket = self._refilled(owner)
        missing = min(tokens, self._capacity) - bucket.tokens
        wait_seconds = max(0.0, missing / self._per_second)
        if wait_seconds <= patience_seconds:
            bucket.tokens -= tokens
        return wait_seconds

    def charge(self, owner: str, tokens: float) -> None:
        """Takes tokens, also if there are not enough: then the owner waits until the bucket was refilled."""
        self._refilled(owner).tokens -= tokens

    def _refilled(self, owner: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(owner)
        if bucket is None:
            bucket = self._buckets[owner] = _Bucket(self._capacity, now)
            if len(self._buckets) > MAX_OWNERS:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(owner)
        bucket.tokens = min(self._capacity, bucket.tokens + self._per_second * (now - bucket.at))
        bucket.at = now
        return bucket
