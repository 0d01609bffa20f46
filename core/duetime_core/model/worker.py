"""The worker, as it makes itself known. Nothing depends on it but what people are told."""

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
    is_alive: bool  # whether its last sign of life is recent


@dataclasses.dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life: who a worker is, and how it does."""

    worker_id: str
    queues: Sequence[str]
    handlers: Sequence[str]
    concurrency: int
    running: int
    rates: Mapping[str, float]
    """Queue → runs begun a second, since the sign before."""
