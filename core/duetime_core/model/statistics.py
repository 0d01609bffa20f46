"""Statistics of a period: counts and percentiles, in total, over time, by name and by queue."""

import dataclasses
import datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Percentiles:
    """The 50th, 95th and 99th percentile and the maximum, in seconds."""

    p50: float
    p95: float
    p99: float
    maximum: float


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """The statistics of one group of tasks. Percentiles are None if there is no data."""

    ran: int
    """Tasks that began a run."""
    succeeded: int
    """Runs that completed."""
    failed: int
    """Tasks that failed: their last run failed, and no retries are left."""
    retried: int
    """Runs that failed, or whose lease was lost, and that are retried."""
    lateness: Percentiles | None
    """Lateness: seconds from due to started."""
    duration: Percentiles | None
    """Duration of runs, in seconds."""


NOTHING = Line(0, 0, 0, 0, None, None)
"""The line of an hour, a day or a group without tasks."""


@dataclasses.dataclass(frozen=True, slots=True)
class SlowRun:
    """A run and its task."""

    task_id: int
    name: str
    queue: str
    duration: float  # seconds
    ended_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics:
    """The statistics of one period, from one snapshot. Groups are sorted by key."""

    total: Line
    over_time: dict[datetime.datetime, Line]
    by_name: dict[str, Line]
    by_queue: dict[str, Line]
    slowest: list[SlowRun]
    log_begins: datetime.datetime | None
    """The oldest log row that is kept; earlier data is missing."""
