"""Queues and workers."""

import dataclasses
import datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Queue:
    """A queue: its backlog, and its limits. A limit of None means no limit."""

    name: str
    paused: bool
    """While true, none of its tasks start; running tasks continue."""
    max_running: int | None
    """How many tasks may run at once, across all workers."""
    max_per_second: float | None
    """How many tasks may start per second, across all workers."""
    max_running_per_key: int | None
    """How many tasks of one concurrency_key may run at once."""
    max_per_second_per_key: float | None
    """How many tasks of one concurrency_key may start per second."""
    depth: int
    """How many pending tasks are due, counted up to 10,000."""
    oldest_due: datetime.datetime | None
    """When the first of them became due; None if there is none."""
    running: int
    rate: float
    """How many tasks start per second, as last counted by the live workers."""
    workers: int
    """How many live workers serve it."""
    depth_capped: bool = False
    """Whether more tasks are due than `depth` says."""


@dataclasses.dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of a queue that changed. A limit of None means no limit."""

    field: str
    """`paused`, or the name of a limit."""
    before: float | bool | None
    after: float | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class QueueLog:
    """One change of a queue, by a caller."""

    queue: str
    change: str
    """`paused`, `resumed` or `updated`. New values may be added."""
    changes: tuple[FieldChange, ...]
    actor: str
    timestamp: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Worker:
    """A worker, as of its last heartbeat: it sends one every 5 s."""

    worker_id: str
    """Host, process id and a random part; the worker_id of the tasks that it runs."""
    queues: tuple[str, ...]
    handlers: tuple[str, ...]
    concurrency: int
    """How many tasks it can run at once."""
    running: int
    """How many tasks it was running then."""
    started_at: datetime.datetime
    last_heartbeat_at: datetime.datetime
    alive: bool
    """Whether its last heartbeat was in the last 15 s."""
