"""What happened in a period: counts and percentiles, in all, over time, by name and by queue."""

import dataclasses
import datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Percentiles:
    """Of so many seconds, half, 95 % and 99 % of what was measured took at most; and the most of all."""

    p50: float
    p95: float
    p99: float
    maximum: float


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What happened to the tasks of one group. Percentiles are None where nothing was measured."""

    ran: int
    """Tasks that began a run."""
    succeeded: int
    """Runs that completed."""
    failed: int
    """Tasks whose last run failed, so that they run no more."""
    retried: int
    """Runs that failed, or were lost with their worker, and were to be repeated."""
    lateness: Percentiles | None
    """Seconds from when a run was due to when it began."""
    duration: Percentiles | None
    """Seconds that a run took."""


NOTHING = Line(0, 0, 0, 0, None, None)
"""Of an hour, a day or a group in which nothing happened."""


@dataclasses.dataclass(frozen=True, slots=True)
class SlowRun:
    """A run, and the task that it was of."""

    task_id: int
    name: str
    queue: str
    duration: float  # seconds
    ended_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics:
    """All of one period, from one snapshot. Groups are in the order of their keys."""

    total: Line
    over_time: dict[datetime.datetime, Line]
    by_name: dict[str, Line]
    by_queue: dict[str, Line]
    slowest: list[SlowRun]
    log_begins: datetime.datetime | None
    """The oldest line of the log that is kept: what was before it is missing."""
