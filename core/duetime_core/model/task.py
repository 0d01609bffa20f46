"""The task, the states of its life and the legal moves between them: written here, once.

`docs/states.md` draws them, and a test holds the drawing to `MOVES`.
"""

import dataclasses
import datetime
import enum
import random
from collections.abc import Iterator
from typing import Any

DEFAULT_QUEUE = "default"
DEFAULT_MAX_RETRIES = 3
MAX_RETRIES = 1000
MAX_MULTIPLIER = 100
MAX_BACKOFF = datetime.timedelta(days=30)
MAX_PRIORITY = 9
QUARANTINE_LEASES = 2
"""A task that lost this many leases in a row is quarantined: it is claimed apart from others.

From it follow the index (`postgres.schema.QUARANTINED`), the levels that claims take (`store.claiming.fast.LEVELS`),
and how many of each a worker runs (`duetime_worker.quarantine`).
"""


class Status(enum.StrEnum):
    """The states of a task."""

    PENDING = "pending"
    """It waits for its execution_time."""
    RUNNING = "running"
    """A worker holds its lease."""
    COMPLETED = "completed"
    """Its handler returned."""
    FAILED = "failed"
    """Its retries are spent, or its handler raised Fail."""
    CANCELLED = "cancelled"
    """A caller cancelled or deleted it, or its schedule skipped or withdrew it."""


FINISHED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
"""A task in one of these runs again only if a caller retries it."""


class Change(enum.StrEnum):
    """What happened to a task: one for every log row."""

    CREATED = "created"
    UPDATED = "updated"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    RETRY_SCHEDULED = "retry_scheduled"
    """The run failed; the next one waits for its backoff."""
    LEASE_LOST = "lease_lost"
    """The worker stopped extending the lease. It spends a retry, so that a poison task cannot run indefinitely."""
    RELEASED = "released"
    """The worker stopped before the run ended, or never received the answer to its claim. It spends no retry."""
    CANCELLED = "cancelled"
    DELETED = "deleted"
    RETRIED = "retried"


@dataclasses.dataclass(frozen=True)
class Move:
    """Takes a task from one of `sources` to `target`; a target of None leaves a finished status as it is."""

    sources: frozenset[Status]
    target: Status | None


MOVES: dict[Change, Move] = {
    Change.UPDATED: Move(frozenset({Status.PENDING}), Status.PENDING),
    Change.STARTED: Move(frozenset({Status.PENDING}), Status.RUNNING),
    Change.COMPLETED: Move(frozenset({Status.RUNNING}), Status.COMPLETED),
    Change.FAILED: Move(frozenset({Status.RUNNING}), Status.FAILED),
    Change.RETRY_SCHEDULED: Move(frozenset({Status.RUNNING}), Status.PENDING),
    Change.LEASE_LOST: Move(frozenset({Status.RUNNING}), Status.PENDING),
    Change.RELEASED: Move(frozenset({Status.RUNNING}), Status.PENDING),
    Change.CANCELLED: Move(frozenset({Status.PENDING, Status.RUNNING}), Status.CANCELLED),
    # A pending task that is deleted is cancelled by it.
    Change.DELETED: Move(frozenset({Status.PENDING, *FINISHED}), None),
    Change.RETRIED: Move(frozenset({Status.FAILED, Status.CANCELLED}), Status.PENDING),
}
"""Every move but `created`, which begins the life: at pending."""


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a task waits before a retry. Multiplier and jitter are plain factors; jitter is 0 to 1."""

    initial_backoff: datetime.timedelta = datetime.timedelta(seconds=1)
    max_backoff: datetime.timedelta = datetime.timedelta(hours=1)
    multiplier: float = 2.0
    jitter: float = 0.1

    def backoff(self, retry: int) -> datetime.timedelta:
        """The wait before the retry with that number, from 1: exponential, capped, shortened by the jitter."""
        longest = self.max_backoff.total_seconds()
        try:
            seconds = min(self.initial_backoff.total_seconds() * self.multiplier ** (retry - 1), longest)
        except OverflowError:
            seconds = longest
        return datetime.timedelta(seconds=seconds * (1 - self.jitter * random.random()))


@dataclasses.dataclass(frozen=True, slots=True)
class Retries:
    """How often a task is retried, and with which backoff."""

    max_retries: int = DEFAULT_MAX_RETRIES
    retry_policy: RetryPolicy = RetryPolicy()

    def problems(self) -> Iterator[str]:
        """Yields what is out of bounds."""
        policy = self.retry_policy
        if not 0 <= self.max_retries <= MAX_RETRIES:
            yield f"max_retries must be from 0 to {MAX_RETRIES}"
        if not datetime.timedelta(0) <= policy.initial_backoff <= policy.max_backoff <= MAX_BACKOFF:
            yield f"initial_backoff and max_backoff must be from 0 to {MAX_BACKOFF.days} days, the first not the longer"
        if not 1 <= policy.multiplier <= MAX_MULTIPLIER:
            yield f"multiplier must be from 1 to {MAX_MULTIPLIER}"
        if not 0 <= policy.jitter <= 1:
            yield "jitter must be from 0 to 1"


@dataclasses.dataclass(frozen=True, slots=True)
class NewTask:
    """A task to create, already validated. `execution_time` is aware; a past one means now.

    `local_time` and `time_zone` are set if the caller gave a local time instead of an instant; see `Task`.
    """

    name: str
    execution_time: datetime.datetime
    task_data: dict[str, Any] = dataclasses.field(default_factory=dict)
    queue: str = DEFAULT_QUEUE
    max_retries: int = DEFAULT_MAX_RETRIES
    retry_policy: RetryPolicy = RetryPolicy()
    timeout: datetime.timedelta | None = None
    request_id: str | None = None
    priority: int = 0
    concurrency_key: str | None = None
    local_time: datetime.datetime | None = None
    time_zone: str | None = None
    requested_retries: Retries | None = None
    """The retries as requested, if the handler's defaults changed them. Requests are compared by it, so that a repeated
    request stays the same request when the defaults have changed since."""


@dataclasses.dataclass(slots=True)
class Task:
    """A row of `tasks`. All times are aware, in UTC, by the database's clock.

    Treat it as immutable; a frozen dataclass takes eight times as long to make, and claims make thousands a second.
    """

    task_id: int
    name: str
    queue: str
    status: Status  # changes with every move
    execution_time: datetime.datetime  # changes with an update, a scheduled retry, and a retry by a caller
    task_data: dict[str, Any]
    result: dict[str, Any] | None  # set when it completes; cleared when a caller retries it
    error_message: str | None  # set when a run fails; cleared when a run completes
    retry_count: int  # incremented by every failed run and lost lease; reset when a caller retries it
    max_retries: int
    retry_policy: RetryPolicy
    timeout: datetime.timedelta | None
    version: int  # incremented with every change that has a log row
    created_at: datetime.datetime
    updated_at: datetime.datetime  # changes with every version
    executed_at: datetime.datetime | None  # when the last run started
    request_id: str | None
    worker_id: str | None  # set while it runs
    lease_expires_at: datetime.datetime | None  # set while it runs; extended every third of a lease
    deleted_at: datetime.datetime | None
    lost_leases: int  # incremented by every lost lease; reset when a run ends by itself, and by every edit
    priority: int  # 0 to 9: due tasks of a higher priority run first
    concurrency_key: str | None  # for the queue's limits per key
    schedule_id: int | None  # the schedule that created it
    nominal_time: datetime.datetime | None  # the time by the schedule's rule, before blackouts and jitter
    is_next: bool  # whether it is its schedule's next occurrence: once it is due, the following one is created
    local_time: datetime.datetime | None  # naive: the local time in `time_zone` at which it is due
    time_zone: str | None  # IANA name; set with local_time
    namespace_id: int
    lease_id: int | None = None  # of the result of a claim alone


# Not frozen, for the same reason as `Task`.
@dataclasses.dataclass(slots=True)
class Changed:
    """A task after a committed change: what `Doorbell.announce` needs. `now` is when its statement began."""

    task_id: int
    queue: str
    execution_time: datetime.datetime
    now: datetime.datetime
    namespace_id: int
    status: Status = Status.PENDING

    @classmethod
    def of(cls, changed: Task, now: datetime.datetime) -> "Changed":
        """Returns what to announce of a task that was just changed."""
        return cls(changed.task_id, changed.queue, changed.execution_time, now, changed.namespace_id, changed.status)


@dataclasses.dataclass(frozen=True, slots=True)
class TaskLog:
    """A row of `task_logs`: one change of one task. Append-only."""

    task_id: int
    version: int
    status: Status
    change: str
    error_message: str | None
    timestamp: datetime.datetime
    execution_time: datetime.datetime
    retry_count: int
    actor: str
    duration: datetime.timedelta | None
    queue: str | None
    """After the change, as `name` is. None in rows from before the log had it."""
    name: str | None
    previous_queue: str | None = None
    """Before the change, if it changed the queue; likewise `previous_name`."""
    previous_name: str | None = None
