"""The concurrency keys of a locked queue: how many tasks of each run and may start, and the rows that record it.

`queue_keys` has a row for each key with an unfilled token bucket, and for each with due tasks that a claim left because
the key was at its limit. So a claim finds the keys that have become free, and not their tasks among all others.
"""

import dataclasses
import datetime
import json
import math
from collections.abc import Collection

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import queue as queues
from duetime_core.postgres import namespaced
from duetime_core.store import leases
from duetime_core.store.claiming import queue_lock

FOR_A_RUN = datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)
"""`waits_until` of a key that waits for one of its runs to end."""
_EMPTY_AT = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _runs(keys: str) -> str:
    """Returns the statement that reads the key of each running task of the queue, at least of those with these keys.

    The keys beside the leases say which tasks to look up: of all that run, only those are read.
    """
    return f"""
    SELECT coalesce(key, (
        SELECT concurrency_key FROM tasks
        WHERE tasks.task_id = claimed.task_id AND tasks.namespace_id = :namespace_id
    )) AS concurrency_key
    FROM leases CROSS JOIN LATERAL {leases.CLAIMED}
    WHERE leases.namespace_id = :namespace_id AND {leases.HAS_LEASE} AND leases.queue = :queue
        AND (key IS NULL OR key IN ({keys})) AND EXISTS (
        SELECT FROM tasks
        WHERE tasks.task_id = claimed.task_id AND tasks.namespace_id = :namespace_id
            AND tasks.version = claimed.version OFFSET 0
    )"""


_RUNNING = namespaced.text(f"""
SELECT concurrency_key, count(*) AS running FROM ({_runs("SELECT unnest(CAST(:keys AS text[]))")}) AS runs
GROUP BY concurrency_key
""")
_READ = namespaced.text("""
SELECT given.key, tokens, tokens_at, waits_until
FROM unnest(CAST(:keys AS text[])) AS given (key)
LEFT JOIN LATERAL (
    SELECT tokens, tokens_at, waits_until FROM queue_keys
    WHERE namespace_id = :namespace_id AND queue = :queue AND concurrency_key = given.key
) AS kept ON true
""")
_FREE = namespaced.text("""
SELECT concurrency_key FROM queue_keys
WHERE namespace_id = :namespace_id AND queue = :queue AND waits_until <= :now ORDER BY waits_until LIMIT :limit
""")
_NEXT_FREE = namespaced.text("""
SELECT (
    SELECT waits_until FROM queue_keys
    WHERE namespace_id = :namespace_id AND queue = :queue AND waits_until > :now AND waits_until < :for_a_run
    ORDER BY waits_until LIMIT 1
) AS next_at, EXISTS (
    SELECT FROM queue_keys WHERE namespace_id = :namespace_id AND queue = :queue AND waits_until >= :for_a_run
) AS any_waits
""")
_ENDED = namespaced.text("""
UPDATE queue_keys SET waits_until = :now
WHERE namespace_id = :namespace_id AND queue = :queue AND concurrency_key = ANY(CAST(:keys AS text[]))
    AND waits_until >= :for_a_run
""")
_WAITS = (
    "SELECT concurrency_key FROM queue_keys "
    "WHERE namespace_id = :namespace_id AND queue = :queue AND waits_until >= :for_a_run"
)
# Read before the queue is locked: for ten thousand keys it takes as long as several claims. Grouped, because a join of
# all keys with all counts would compare each with each. Of a group, one row is the key's own.
_FIND_ENDED = namespaced.text(f"""
SELECT concurrency_key FROM (
    SELECT concurrency_key, true AS waits FROM ({_WAITS}) AS keys
    UNION ALL SELECT concurrency_key, false FROM ({_runs(_WAITS)}) AS runs
) AS known
GROUP BY concurrency_key
HAVING bool_or(waits) AND coalesce(count(*) <= (
    SELECT max_running_per_key FROM queues WHERE namespace_id = :namespace_id AND name = :queue
), true)
LIMIT :limit
""")
_WRITE = namespaced.text("""
INSERT INTO queue_keys (namespace_id, queue, concurrency_key, tokens, tokens_at, waits_until)
SELECT :namespace_id, :queue, concurrency_key, tokens, tokens_at, waits_until
FROM json_to_recordset(CAST(:rows AS json))
    AS given (concurrency_key text, tokens float8, tokens_at timestamptz, waits_until timestamptz)
ON CONFLICT (namespace_id, queue, concurrency_key) DO UPDATE
SET tokens = excluded.tokens, tokens_at = excluded.tokens_at, waits_until = excluded.waits_until
""")
_DELETE_IDLE = namespaced.text("""
DELETE FROM queue_keys
WHERE namespace_id = :namespace_id AND queue = :queue AND waits_until IS NULL AND tokens_at < :full_at
""")
_MOST_ENDED = 1_000


@dataclasses.dataclass(slots=True)
class _Key:
    running: int
    bucket: queues.TokenBucket | None
    waits_until: datetime.datetime | None
    is_changed: bool = False


class Keys:
    """The keys that a claim deals with."""

    def __init__(self, connection: sqlalchemy_asyncio.AsyncConnection, locked: queue_lock.QueueLock) -> None:
        self._connection = connection
        self._queue, self._limits, self.now = locked.queue, locked.limits, locked.now
        self._keys: dict[str, _Key] = {}

    async def read(self, keys: Collection[str]) -> None:
        """Reads the state of those keys, unless it is known."""
        unknown = list({key: None for key in keys if key not in self._keys})
        if not unknown:
            return
        parameters = {"queue": self._queue, "keys": unknown}
        running: dict[str, int] = {}
        if self._limits.max_running_per_key is not None:
            counted = await self._connection.execute(_RUNNING, parameters)
            running = {row.concurrency_key: row.running for row in counted}
        rows = await self._connection.execute(_READ, parameters)
        for key, tokens, at, waits_until in rows:
            bucket = None
            if (per_second := self._limits.max_per_second_per_key) is not None:
                bucket = queues.TokenBucket(per_second, math.inf if tokens is None else tokens, at or self.now)
                bucket.advance(self.now)
            self._keys[key] = _Key(running.get(key, 0), bucket, waits_until)

    def places(self, key: str) -> int:
        """How many tasks of the key may start."""
        known = self._keys[key]
        places = math.inf if known.bucket is None else math.floor(known.bucket.tokens)
        if self._limits.max_running_per_key is not None:
            places = min(places, self._limits.max_running_per_key - known.running)
        return max(0, int(places))

    def is_open(self, key: str) -> bool:
        """Whether tasks of the key may start, or a claim has not noted yet that they are left."""
        return self.places(key) > 0 or self._keys[key].waits_until is None

    def start(self, key: str, count: int = 1) -> None:
        """Counts started tasks of the key; a negative count takes them back."""
        known = self._keys[key]
        known.running += count
        if known.bucket is not None:
            known.bucket.tokens -= count
            known.is_changed = True

    def leave(self, key: str) -> None:
        """Notes that due tasks of the key are left: for a run, for its rate limit, or for the next claim."""
        known = self._keys[key]
        if self.places(key):
            self._wait(known, self.now)
        elif self._limits.max_running_per_key is not None and known.running >= self._limits.max_running_per_key:
            self._wait(known, FOR_A_RUN)
        else:
            assert known.bucket is not None
            self._wait(known, known.bucket.next_at())

    def leave_none(self, key: str) -> None:
        """Notes that no due task of the key is left."""
        self._wait(self._keys[key], None)

    @staticmethod
    def _wait(known: _Key, until: datetime.datetime | None) -> None:
        known.is_changed |= known.waits_until != until
        known.waits_until = until

    async def free(self, ended: Collection[str], limit: int) -> list[str]:
        """Returns up to `limit` keys with tasks left that may start, those that wait longest first.

        Runs of the `ended` keys have ended.
        """
        parameters = {"queue": self._queue, "now": self.now}
        if ended:
            await self._connection.execute(_ENDED, {**parameters, "keys": sorted(ended), "for_a_run": FOR_A_RUN})
        found = await self._connection.execute(_FREE, {**parameters, "limit": limit})
        return list(found.scalars())

    async def next_free_at(self) -> tuple[datetime.datetime | None, bool]:
        """Returns when the rate limit lets the next key start a task, and whether any key waits for a run to end."""
        parameters = {"queue": self._queue, "now": self.now, "for_a_run": FOR_A_RUN}
        next_at, any_waits = (await self._connection.execute(_NEXT_FREE, parameters)).one()
        return next_at, any_waits

    async def write(self) -> None:
        """Writes what changed, and deletes the rows of keys about which nothing is to be known."""
        rows = [
            {
                "concurrency_key": name,
                "tokens": 0 if key.bucket is None else key.bucket.tokens,
                "tokens_at": (_EMPTY_AT if key.bucket is None else key.bucket.at).isoformat(),
                "waits_until": key.waits_until and key.waits_until.isoformat(),
            }
            for name, key in sorted(self._keys.items())
            if key.is_changed
        ]
        if rows:
            encoded = json.dumps(rows, ensure_ascii=False)
            await self._connection.execute(_WRITE, {"queue": self._queue, "rows": encoded})
        full_at = self.now
        if (per_second := self._limits.max_per_second_per_key) is not None:
            full_at -= datetime.timedelta(seconds=(1 + per_second / 10) / per_second)
        await self._connection.execute(_DELETE_IDLE, {"queue": self._queue, "full_at": full_at})


async def ended(connection: sqlalchemy_asyncio.AsyncConnection, queue: str) -> list[str]:
    """Returns keys of the queue that wait for a run to end although they are below their limit, 1,000 at most."""
    parameters = {"queue": queue, "for_a_run": FOR_A_RUN, "limit": _MOST_ENDED}
    return list((await connection.execute(_FIND_ENDED, parameters)).scalars())
