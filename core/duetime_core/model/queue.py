"""Queues: whether they are paused, and their limits."""

import dataclasses
import datetime
import enum
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class QueueLimits:
    """The limits of a queue, over all workers. None means no limit.

    The limits per key apply to the tasks of one concurrency_key; tasks without a key have only the others.
    """

    is_paused: bool = False
    max_running: int | None = None
    max_per_second: float | None = None
    max_running_per_key: int | None = None
    max_per_second_per_key: float | None = None

    @property
    def has_key_limits(self) -> bool:
        """Whether a limit per key is set."""
        return self.max_running_per_key is not None or self.max_per_second_per_key is not None


ALIVE_SECONDS = 15
"""How long after its last heartbeat a worker counts as alive."""

MAX_DEPTH = 10_000
"""Up to how many due tasks of a queue are counted, in some milliseconds."""

UNLIMITED = QueueLimits()
"""Neither paused nor limited, as are all queues without a row."""


@dataclasses.dataclass(frozen=True, slots=True)
class Queue:
    """The current state of a queue. Times are by the database's clock."""

    name: str
    limits: QueueLimits
    depth: int = 0  # pending tasks that are due, up to MAX_DEPTH
    is_deeper: bool = False  # whether there are more than MAX_DEPTH
    oldest_due: datetime.datetime | None = None  # when the first of them was due
    running: int = 0
    rate: float = 0.0  # runs started per second, by the last heartbeats of live workers
    workers: int = 0  # live workers that serve it


class Change(enum.StrEnum):
    """What a caller did to a queue."""

    PAUSED = "paused"
    RESUMED = "resumed"
    UPDATED = "updated"
    """Limits changed, and possibly whether it is paused."""


@dataclasses.dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of QueueLimits, before and after a change. None means no limit."""

    field: str
    before: float | bool | None
    after: float | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class QueueLog:
    """A row of `queue_logs`: one change of a queue's limits."""

    log_id: int
    queue: str
    change: str
    changes: Sequence[FieldChange]
    actor: str
    timestamp: datetime.datetime


@dataclasses.dataclass(slots=True)
class TokenBucket:
    """The token bucket of a rate limit: each start of a task takes one token.

    It holds at most a tenth of a second's worth plus one, which bounds a burst after a rest.
    """

    per_second: float
    tokens: float
    at: datetime.datetime

    @property
    def capacity(self) -> float:
        """The most tokens that it holds."""
        return 1 + self.per_second / 10

    def advance(self, now: datetime.datetime) -> None:
        """Adds the tokens of the time since the last call; none if the clock was set back."""
        elapsed = max(0.0, (now - self.at).total_seconds())
        self.tokens = min(self.capacity, self.tokens + self.per_second * elapsed)
        self.at = now

    def next_at(self) -> datetime.datetime:
        """When the next token is available."""
        return self.at + datetime.timedelta(seconds=max(0.0, 1 - self.tokens) / self.per_second)
