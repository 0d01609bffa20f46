"""The task as callers see it. All times that come from the server are aware, in UTC, to the microsecond."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping
from typing import Any


class Status(enum.StrEnum):
    """Where a task is in its life."""

    PENDING = "pending"
    """It waits for its execution_time."""
    RUNNING = "running"
    """A worker runs its handler."""
    COMPLETED = "completed"
    """Its handler returned. Terminal."""
    FAILED = "failed"
    """Its retries are spent, or its handler said never. Terminal until it is retried."""
    CANCELLED = "cancelled"
    """A caller stopped it. Terminal until it is retried."""


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a task waits before a retry; None is the default of the handler, or else the one that is named here."""

    initial_backoff: datetime.timedelta | None = None
    """The wait before the first retry: 0 s to 30 days, by default 1 s."""
    max_backoff: datetime.timedelta | None = None
    """The longest wait: initial_backoff to 30 days, by default 1 hour."""
    multiplier: float | None = None
    """How much longer each wait is than the one before it: 1 to 100, by default 2."""
    jitter: float | None = None
    """The share of the wait that is random: 0 to 1, by default 0.1."""


@dataclasses.dataclass(frozen=True, slots=True)
class LocalTime:
    """What a clock somewhere shows when a task is due, whatever the law says by then.

    A time that a change of the clock leaves out is shifted by as much; one that comes twice is meant to be the first.
    """

    local_time: datetime.datetime
    """Naive: without a zone of its own."""
    time_zone: str
    """IANA's name of the zone, such as `Europe/Lisbon`."""


When = datetime.datetime | datetime.timedelta | LocalTime
"""When a task is due: an aware datetime, a timedelta from now *by this machine's clock*, or a local time."""


@dataclasses.dataclass(frozen=True, slots=True)
class NewTask:
    """A task to create; what is None has the server's default."""

    name: str
    """Names the handler that runs it: 1 to 255 characters."""
    execution_time: When
    """When it is due: an aware datetime, a timedelta from now *by this machine's clock*, or a LocalTime."""
    task_data: Mapping[str, object] | None = None
    """What the handler is given: a JSON object of at most 256 KiB and 20 levels."""
    queue: str | None = None
    max_retries: int | None = None
    """0 to 1,000, by default what the handler brings, or else 3: it runs at most 1 + max_retries times."""
    retry_policy: RetryPolicy | None = None
    timeout: datetime.timedelta | None = None
    """How long one run may take: above 0 s, up to 7 days; by default as long as the handler says."""
    request_id: str | None = None
    """At most 128 characters; the client makes one up, so that it can ask again without creating twice."""
    priority: int | None = None
    """0 to 9, by default 0: of what is due in the queue, the higher ones run first."""
    concurrency_key: str | None = None
    """What the queue's limits per key count it under, such as a customer: at most 255 characters."""


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One piece of work: its moment, what its handler needs, and how it stands."""

    task_id: int
    name: str
    queue: str
    status: Status
    execution_time: datetime.datetime
    """When it is due. Moves when it is updated or waits to be retried."""
    task_data: dict[str, Any]
    result: dict[str, Any] | None
    """What its handler returned; None before it completes, or if that was nothing."""
    error_message: str
    """Why its last run failed; empty before that and after a run that completed."""
    retry_count: int
    max_retries: int
    retry_policy: RetryPolicy
    timeout: datetime.timedelta | None
    """How long one run may take; None: as long as its handler says."""
    version: int
    """Rises by one with every change; `update(version=…)` compares it."""
    created_at: datetime.datetime
    updated_at: datetime.datetime
    executed_at: datetime.datetime | None
    """When its latest run began; None before the first."""
    request_id: str
    worker_id: str
    """The worker that runs it; empty unless it is running."""
    lease_expires_at: datetime.datetime | None
    """When its worker counts as dead unless it extends the lease; None unless it is running."""
    priority: int
    """0 to 9: of what is due in the queue, the higher ones run first."""
    concurrency_key: str
    """What the queue's limits per key count it under; empty: not at all."""
    schedule_id: int
    """The schedule that made it; 0 if none did."""
    nominal_time: datetime.datetime | None
    """The time by the schedule's rule that it stands for; None without a schedule."""
    local_time: str
    """What a clock in time_zone shows when it is due, if its caller gave that; else empty."""
    time_zone: str
