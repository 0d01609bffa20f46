"""Queues and workers as callers see them."""

import dataclasses
import datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Queue:
    """A queue: how it stands, and what holds it back. A limit that is None is none."""

    name: str
    paused: bool
    """While it is, none of its tasks start; those that run go on."""
    max_running: int | None
    """The most tasks that run at once, over all workers."""
    max_per_second: float | None
    """The most tasks that start in a second, over all workers."""
    max_running_per_key: int | None
    """The most tasks of the same concurrency_key that run at once."""
    max_per_second_per_key: float | None
    """The most tasks of the same concurrency_key that start in a second."""
    depth: int
    """How many tasks are due and wait."""
    oldest_due: datetime.datetime | None
    """Since when the first of them is due; None if none waits."""
    running: int
    rate: float
    """How many tasks start in a second, as the live workers counted it last."""
    workers: int
    """How many live workers serve it."""


@dataclasses.dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of a queue that changed; a limit that is None is none."""

    field: str
    """`paused`, or the name of a limit."""
    before: float | bool | None
    after: float | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class QueueLog:
    """One change of a queue by a caller."""

    queue: str
    change: str
    """What happened: `paused`, `resumed` or `updated`. The set is open."""
    changes: tuple[FieldChange, ...]
    actor: str
    timestamp: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Worker:
    """A worker, as it last made itself known: each 5 s while it lives."""

    worker_id: str
    """Host, process id and a random part; the worker_id of the tasks that it runs."""
    queues: tuple[str, ...]
    handlers: tuple[str, ...]
    concurrency: int
    """How many tasks it can run at once."""
    running: int
    """How many it ran then."""
    started_at: datetime.datetime
    last_heartbeat_at: datetime.datetime
    alive: bool
    """Whether its last sign of life is recent enough: within 15 s."""
