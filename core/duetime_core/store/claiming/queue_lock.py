"""The lock on a queue that is held back, and how many of its tasks may start while one has it."""

import dataclasses
import datetime
import math

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import queue as queues

# A worker that hangs with the row locked would hold up the queue for all others.
_LOCK = sa.text("""
SELECT is_paused, max_running, max_per_second, max_running_per_key, max_per_second_per_key, allowance, allowance_at,
    set_config('idle_in_transaction_session_timeout', '2s', true)
FROM queues WHERE name = :queue FOR UPDATE
""")
# What others took before the lock was given only a new statement sees; and `now()` is from before it.
_COUNT = sa.text("""
SELECT count(*) AS running, clock_timestamp() AS now FROM tasks WHERE status = 'running' AND queue = :queue
""")
_SPEND = sa.text("UPDATE queues SET allowance = :allowance, allowance_at = :at WHERE name = :queue")


@dataclasses.dataclass(slots=True)
class Turn:
    """A queue that is locked: whoever has it is the only one to start tasks of it."""

    queue: str
    control: queues.Control
    running: int
    now: datetime.datetime
    allowance: queues.Allowance | None

    @property
    def places(self) -> float:
        """How many tasks may start, whatever their keys: infinitely many without a limit."""
        if self.control.is_paused:
            return 0
        places = math.inf
        if self.control.max_running is not None:
            places = max(0, self.control.max_running - self.running)
        if self.allowance is not None:
            places = min(places, math.floor(self.allowance.tokens))
        return places

    @property
    def waits_for_runs(self) -> bool:
        """Whether a run has to end before another task may start."""
        return self.control.max_running is not None and self.running >= self.control.max_running

    @property
    def next_start_at(self) -> datetime.datetime | None:
        """When the rate lets a task start, if none may now."""
        if self.allowance is None or self.allowance.tokens >= 1:
            return None
        return self.allowance.next_at()

    async def spend(self, connection: sqlalchemy_asyncio.AsyncConnection, started: int) -> None:
        """Counts those that were started."""
        self.running += started
        if self.allowance is not None and started:
            self.allowance.tokens -= started
            spent = {"queue": self.queue, "allowance": self.allowance.tokens, "at": self.allowance.at}
            await connection.execute(_SPEND, spent)


async def lock(connection: sqlalchemy_asyncio.AsyncConnection, queue: str) -> Turn | None:
    """Locks the queue until the transaction ends; None if nothing holds it back."""
    row = (await connection.execute(_LOCK, {"queue": queue})).one_or_none()
    if row is None:
        return None
    control = queues.Control(*row[:5])
    running, now = (await connection.execute(_COUNT, {"queue": queue})).one()
    allowance = None
    if control.max_per_second is not None:
        allowance = queues.Allowance(control.max_per_second, row.allowance, row.allowance_at)
        allowance.advance(now)
    return Turn(queue, control, running, now, allowance)
