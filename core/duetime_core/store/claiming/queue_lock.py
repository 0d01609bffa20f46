"""The lock on a limited queue, and how many of its tasks may start while it is held."""

import dataclasses
import datetime
import math

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.model import queue as queues
from duetime_core.postgres import namespaced
from duetime_core.store import leases

# A worker that hangs with the row locked would block the queue for all others.
_LOCK = namespaced.text("""
SELECT is_paused, max_running, max_per_second, max_running_per_key, max_per_second_per_key, tokens, tokens_at,
    set_config('idle_in_transaction_session_timeout', '2s', true)
FROM queues WHERE namespace_id = :namespace_id AND name = :queue FOR UPDATE SKIP LOCKED
""")
_IS_LIMITED = namespaced.text("SELECT EXISTS (SELECT FROM queues WHERE namespace_id = :namespace_id AND name = :queue)")
# Only a new statement sees the tasks claimed by others before the lock was granted; and `now()` is from before it.
_COUNT = namespaced.text(f"""
SELECT count(*) AS running, clock_timestamp() AS now
FROM {leases.RUNNING} AS running JOIN tasks USING (task_id, version)
WHERE running.queue = :queue AND tasks.namespace_id = :namespace_id
""")
_NOW = sa.text("SELECT 0 AS running, clock_timestamp() AS now")
_SPEND = namespaced.text(
    "UPDATE queues SET tokens = :tokens, tokens_at = :at WHERE namespace_id = :namespace_id AND name = :queue"
)


@dataclasses.dataclass(slots=True)
class QueueLock:
    """A locked queue: only the transaction that holds the lock starts tasks of it."""

    queue: str
    limits: queues.QueueLimits
    running: int  # 0 without a limit to it
    now: datetime.datetime
    bucket: queues.TokenBucket | None

    @property
    def available(self) -> float:
        """How many tasks may start, ignoring limits per key; infinite without a limit."""
        if self.limits.is_paused:
            return 0
        available = math.inf
        if self.limits.max_running is not None:
            available = max(0, self.limits.max_running - self.running)
        if self.bucket is not None:
            available = min(available, math.floor(self.bucket.tokens))
        return available

    @property
    def waits_for_runs(self) -> bool:
        """Whether a run has to end before another task may start."""
        return self.limits.max_running is not None and self.running >= self.limits.max_running

    @property
    def next_start_at(self) -> datetime.datetime | None:
        """When the rate limit lets the next task start; None if one may start now."""
        if self.bucket is None or self.bucket.tokens >= 1:
            return None
        return self.bucket.next_at()

    async def spend(self, connection: sqlalchemy_asyncio.AsyncConnection, started: int) -> None:
        """Counts the started tasks, and takes their tokens from the bucket."""
        self.running += started
        if self.bucket is not None and started:
            self.bucket.tokens -= started
            spent = {"queue": self.queue, "tokens": self.bucket.tokens, "at": self.bucket.at}
            await connection.execute(_SPEND, spent)


async def lock(connection: sqlalchemy_asyncio.AsyncConnection, queue: str) -> QueueLock | None:
    """Locks the queue until the transaction ends; None if it is unlimited.

    Raises QueueBusy if another transaction has locked it: in line for the lock, a claim would keep slots of its worker
    from other queues.
    """
    row = (await connection.execute(_LOCK, {"queue": queue})).one_or_none()
    if row is None:
        if await connection.scalar(_IS_LIMITED, {"queue": queue}):
            raise errors.QueueBusy
        return None
    limits = queues.QueueLimits(
        row.is_paused, row.max_running, row.max_per_second, row.max_running_per_key, row.max_per_second_per_key
    )
    moment = _NOW if limits.max_running is None else _COUNT
    running, now = (await connection.execute(moment, {"queue": queue})).one()
    bucket = None
    if limits.max_per_second is not None:
        bucket = queues.TokenBucket(limits.max_per_second, row.tokens, row.tokens_at)
        bucket.advance(now)
    return QueueLock(queue, limits, running, now, bucket)
