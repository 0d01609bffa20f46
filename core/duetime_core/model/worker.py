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
