"""How a queue is held back: whether it is paused, and its limits."""

import dataclasses
import datetime
import enum
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class QueueLimits:
    """What holds a queue back, over all workers; a limit of None is none.

    The limits per key count the tasks of one concurrency_key; tasks without a key have only the others.
    """

    is_paused: bool = False
    max_running: int | None = None
    max_per_second: float | None = None
    max_running_per_key: int | None = None
    max_per_second_per_key: float | None = None

    @property
    def has_key_limits(self) -> bool:
        """Whether tasks are counted by their key."""
        return self.max_running_per_key is not None or self.max_per_second_per_key is not None


ALIVE_SECONDS = 15
"""How long after its last sign of life a worker counts as alive."""

UNLIMITED = QueueLimits()
"""Nothing holds it back. So are all queues that have no row."""


@dataclasses.dataclass(frozen=True, slots=True)
class Queue:
    """A queue as it stands. Times are by the database's clock."""

    name: str
    limits: QueueLimits
    depth: int = 0  # the tasks that are due and wait
    oldest_due: datetime.datetime | None = None  # since when the first of them is due
    running: int = 0
    rate: float = 0.0  # runs begun a second, as its live workers counted last
    workers: int = 0  # the live ones that serve it


class Change(enum.StrEnum):
    """What a caller did to a queue."""

    PAUSED = "paused"
    RESUMED = "resumed"
    UPDATED = "updated"
    """Limits changed, and perhaps whether it is paused."""


@dataclasses.dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of a queue's Control, as it was and as it is since; a limit of None is none."""

    field: str
    before: float | bool | None
    after: float | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class QueueLog:
    """A row of `queue_logs`: one change of a queue's Control."""

    log_id: int
    queue: str
    change: str
    changes: Sequence[FieldChange]
    actor: str
    timestamp: datetime.datetime


@dataclasses.dataclass(slots=True)
class TokenBucket:
    """The token bucket of a rate: how many tasks may start now.

    It holds at most a tenth of a second's worth and one more, so that a burst after a rest stays within that.
    """

    per_second: float
    tokens: float
    at: datetime.datetime

    @property
    def capacity(self) -> float:
        """The most that it holds."""
        return 1 + self.per_second / 10

    def advance(self, now: datetime.datetime) -> None:
        """Adds what came since; a clock that was set back adds nothing."""
        elapsed = max(0.0, (now - self.at).total_seconds())
        self.tokens = min(self.capacity, self.tokens + self.per_second * elapsed)
        self.at = now

    def next_at(self) -> datetime.datetime:
        """When the next task may start."""
        return self.at + datetime.timedelta(seconds=max(0.0, 1 - self.tokens) / self.per_second)
