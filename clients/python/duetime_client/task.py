"""Tasks. Times from the server are aware, in UTC, with microseconds."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping
from typing import Any


class Status(enum.StrEnum):
    """A task's status."""

    PENDING = "pending"
    """It waits: for its execution_time, or for a worker."""
    RUNNING = "running"
    """A worker runs its handler."""
    COMPLETED = "completed"
    """Finished: its handler returned."""
    FAILED = "failed"
    """Finished unless a caller retries it: it has no retries left, or its handler failed permanently."""
    CANCELLED = "cancelled"
    """Finished unless a caller retries it: a caller cancelled or deleted it, or its schedule skipped or withdrew it."""


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A task's exponential backoff; None means the handler's default, or else the one given here."""

    initial_backoff: datetime.timedelta | None = None
    """The backoff before the first retry: 0 s to 30 days, by default 1 s."""
    max_backoff: datetime.timedelta | None = None
    """The longest backoff: initial_backoff to 30 days, by default 1 hour."""
    multiplier: float | None = None
    """The factor from one backoff to the next: 1 to 100, by default 2."""
    jitter: float | None = None
    """The share of the backoff that is random: 0 to 1, by default 0.1."""


@dataclasses.dataclass(frozen=True, slots=True)
class LocalTime:
    """The local time in a time zone at which a task is due, even if the zone's rules change until then.

    A local time that a DST transition skips is shifted by the length of the gap; a repeated one means the first.
    """

    local_time: datetime.datetime
    """A naive datetime."""
    time_zone: str
    """The IANA name of the zone, such as `Europe/Lisbon`."""


When = datetime.datetime | datetime.timedelta | LocalTime
"""When a task is due: an aware datetime, a timedelta from now *by this machine's clock*, or a local time."""


@dataclasses.dataclass(frozen=True, slots=True)
class NewTask:
    """A task to create; None means the server's default."""

    name: str
    """The name of its handler: 1 to 255 characters."""
    execution_time: When
    """When it is due: an aware datetime, a timedelta from now *by this machine's clock*, or a LocalTime."""
    task_data: Mapping[str, object] | None = None
    """The handler's input: a JSON object of at most 256 KiB and 20 levels."""
    queue: str | None = None
    max_retries: int | None = None
    """0 to 1,000, by default the handler's, or else 3: it runs at most 1 + max_retries times."""
    retry_policy: RetryPolicy | None = None
    timeout: datetime.timedelta | None = None
    """How long one run may take: above 0 s, up to 7 days; by default the handler's timeout."""
    request_id: str | None = None
    """An idempotency key of at most 128 characters; by default the client generates one, to retry safely."""
    priority: int | None = None
    """0 to 9, by default 0: among due tasks of a queue, higher priorities run first."""
    concurrency_key: str | None = None
    """The key of the queue's limits per key, such as a customer: at most 255 characters."""


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A task: when it is due, its handler and input, and its state."""

    task_id: int
    name: str
    queue: str
    status: Status
    execution_time: datetime.datetime
    """When it is due. Changes when it is updated, moved or retried."""
    task_data: dict[str, Any]
    result: dict[str, Any] | None
    """What its handler returned; None before it completes, or if the handler returned nothing."""
    error_message: str
    """Why its last run failed; empty if none has failed, or the last one completed."""
    retry_count: int
    max_retries: int
    retry_policy: RetryPolicy
    timeout: datetime.timedelta | None
    """How long one run may take; None: the handler's timeout."""
    version: int
    """Incremented with every change; `update(version=…)` compares it."""
    created_at: datetime.datetime
    updated_at: datetime.datetime
    executed_at: datetime.datetime | None
    """When its latest run started; None before the first."""
    request_id: str
    worker_id: str
    """The worker that runs it; empty unless it is running."""
    lease_expires_at: datetime.datetime | None
    """When its worker counts as lost unless it extends the lease; None unless it is running."""
    priority: int
    """0 to 9: among due tasks of a queue, higher priorities run first."""
    concurrency_key: str
    """The key of the queue's limits per key; empty: none."""
    schedule_id: int
    """The schedule that created it; 0 if none did."""
    nominal_time: datetime.datetime | None
    """The nominal time of its occurrence; None without a schedule."""
    local_time: str
    """The local time in time_zone at which it is due, if it was created with one; else empty."""
    time_zone: str
