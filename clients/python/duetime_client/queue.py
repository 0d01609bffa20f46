"""The queue as callers see it."""

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
