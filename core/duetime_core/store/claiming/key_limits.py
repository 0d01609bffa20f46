"""Limits per key: which due tasks of a locked queue may start, by how many of their concurrency_key run or started."""

import dataclasses
import datetime
import json
import math
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import queue as queues
from duetime_core.store.claiming import bounds, queue_lock
from duetime_core.store.tasks import columns as task_columns

_MOST_ROUNDS = 20
"""Each round skips the keys that the one before it found at their limit. The rest is left to the next claim."""

_RUNNING = sa.text(f"""
SELECT concurrency_key, count(*) FROM {task_columns.RUNNING} AS running JOIN tasks USING (task_id, version)
WHERE running.queue = :queue AND concurrency_key IS NOT NULL
GROUP BY concurrency_key
""")
# A full bucket has no row, so these are the keys of tasks that started lately.
_BUCKETS = sa.text("SELECT concurrency_key, tokens, tokens_at FROM queue_keys WHERE queue = :queue")
_SPEND = sa.text("""
INSERT INTO queue_keys (queue, concurrency_key, tokens, tokens_at)
SELECT :queue, concurrency_key, tokens, :at
FROM json_to_recordset(CAST(:spent AS json)) AS given (concurrency_key text, tokens float8)
ON CONFLICT (queue, concurrency_key) DO UPDATE SET tokens = excluded.tokens, tokens_at = excluded.tokens_at
""")
_DELETE_FULL = sa.text("DELETE FROM queue_keys WHERE queue = :queue AND tokens_at < :full_at")


@dataclasses.dataclass(slots=True)
class Picked:
    """The tasks that may start, and why the others wait: for a run to end, or for a rate limit."""

    task_ids: list[int] = dataclasses.field(default_factory=list)
    waits_for_runs: bool = False
    next_start_at: datetime.datetime | None = None


class _Keys:
    """How many tasks of each key run, and may start."""

    def __init__(self, limits: queues.QueueLimits, now: datetime.datetime) -> None:
        self._max_running = math.inf if limits.max_running_per_key is None else limits.max_running_per_key
        self._per_second = limits.max_per_second_per_key
        self._now = now
        self.running: dict[str, int] = {}
        self.buckets: dict[str, queues.TokenBucket] = {}
        self.spent: set[str] = set()

    def add_bucket(self, key: str, tokens: float, at: datetime.datetime) -> None:
        assert self._per_second is not None
        self.buckets[key] = queues.TokenBucket(self._per_second, tokens, at)
        self.buckets[key].advance(self._now)

    def runs_max(self, key: str) -> bool:
        return self.running.get(key, 0) >= self._max_running

    def next_start_at(self, key: str) -> datetime.datetime | None:
        bucket = self.buckets.get(key)
        return None if bucket is None or bucket.tokens >= 1 else bucket.next_at()

    def is_at_limit(self, key: str) -> bool:
        return self.runs_max(key) or self.next_start_at(key) is not None

    def start(self, key: str) -> None:
        self.running[key] = self.running.get(key, 0) + 1
        if self._per_second is not None:
            full = queues.TokenBucket(self._per_second, math.inf, self._now)
            bucket = self.buckets.setdefault(key, full)
            bucket.advance(self._now)
            bucket.tokens -= 1
            self.spent.add(key)


async def pick(
    connection: sqlalchemy_asyncio.AsyncConnection,
    locked: queue_lock.QueueLock,
    due: Callable[[str, str], str],
    limit: int,
) -> Picked:
    """Returns up to `limit` due tasks that the limits of their keys let start, in their order; they are locked.

    `due` returns the statement that locks due tasks, from its columns and an `AND …` for its condition.
    """
    keys = await _read(connection, locked)
    statement = sa.text(
        due(
            "task_id, concurrency_key",
            "AND task_id <> ALL(CAST(:picked AS bigint[])) AND "
            "(concurrency_key IS NULL OR concurrency_key <> ALL(CAST(:at_limit AS text[])))",
        )
    )
    picked = Picked()
    at_limit = {key for key in (*keys.running, *keys.buckets) if keys.is_at_limit(key)}
    for _ in range(_MOST_ROUNDS):
        rest = limit - len(picked.task_ids)
        parameters = {"queue": locked.queue, "picked": picked.task_ids, "at_limit": list(at_limit), "limit": rest}
        parameters |= bounds.Bounds().parameters
        found = (await connection.execute(statement, parameters)).all()
        newly_at_limit = set()
        for task_id, key in found:
            if key is not None:
                if keys.is_at_limit(key):
                    newly_at_limit.add(key)
                    continue
                keys.start(key)
            picked.task_ids.append(task_id)
        at_limit |= newly_at_limit
        if not newly_at_limit:
            break
    picked.waits_for_runs = any(keys.runs_max(key) for key in at_limit)
    picked.next_start_at = min(filter(None, (keys.next_start_at(key) for key in at_limit)), default=None)
    await _spend(connection, locked, keys)
    return picked


async def _read(connection: sqlalchemy_asyncio.AsyncConnection, locked: queue_lock.QueueLock) -> _Keys:
    keys = _Keys(locked.limits, locked.now)
    if locked.limits.max_running_per_key is not None:
        for key, running in await connection.execute(_RUNNING, {"queue": locked.queue}):
            keys.running[key] = running
    if locked.limits.max_per_second_per_key is not None:
        for key, tokens, at in await connection.execute(_BUCKETS, {"queue": locked.queue}):
            keys.add_bucket(key, tokens, at)
    return keys


async def _spend(connection: sqlalchemy_asyncio.AsyncConnection, locked: queue_lock.QueueLock, keys: _Keys) -> None:
    if locked.limits.max_per_second_per_key is None or not keys.spent:
        return
    spent = [{"concurrency_key": key, "tokens": keys.buckets[key].tokens} for key in sorted(keys.spent)]
    await connection.execute(
        _SPEND, {"queue": locked.queue, "at": locked.now, "spent": json.dumps(spent, ensure_ascii=False)}
    )
    capacity = 1 + locked.limits.max_per_second_per_key / 10
    full_at = locked.now - datetime.timedelta(seconds=capacity / locked.limits.max_per_second_per_key)
    await connection.execute(_DELETE_FULL, {"queue": locked.queue, "full_at": full_at})
