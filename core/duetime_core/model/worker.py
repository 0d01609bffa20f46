"""Workers, as their heartbeats describe them. They inform people; no promise depends on them."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Worker:
    """A row of `workers`. Times are by the database's clock."""

    worker_id: str
    queues: Sequence[str]
    handlers: Sequence[str]
    concurrency: int
    running: int
    started_at: datetime.datetime
    last_heartbeat_at: datetime.datetime
    is_alive: bool  # whether its last heartbeat is recent
    free_slots: int | None = None  # how many more tasks it would have claimed then; None if it did not report it

    @property
    def is_busy(self) -> bool:
        """Whether it claimed nothing at its last heartbeat."""
        return self.running >= self.concurrency or self.free_slots == 0


@dataclasses.dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker reports every 5 s: its queues, handlers and load."""

    worker_id: str
    queues: Sequence[str]
    handlers: Sequence[str]
    concurrency: int
    running: int
    rates: Mapping[str, float]
    """Queue → runs started per second since the previous heartbeat."""
    free_slots: int | None = None
    """How many more tasks it would claim: none while all its threads are in use, whatever its slots."""
