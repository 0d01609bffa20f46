"""A task's history, and a watch's events, which are rows of the history as they are committed."""

import dataclasses
import datetime

from duetime_client import task


@dataclasses.dataclass(frozen=True, slots=True)
class TaskLog:
    """One change of one task, identified by (task_id, version). Immutable."""

    task_id: int
    version: int
    """The task's version after the change: 1 for its creation, then incremented with each row."""
    status: task.Status
    """The task's status after the change."""
    change: str
    """What happened: `created`, `updated`, `started`, `completed`, `failed`, `retry_scheduled`, `lease_lost`,
    `released`, `cancelled`, `deleted`, `retried`, or a value that a newer server adds. `current` is not a
    change but the state of a watched task whose last change is older than the log."""
    timestamp: datetime.datetime
    """When it happened, by the database's clock."""
    execution_time: datetime.datetime
    retry_count: int
    error_message: str
    """Why the run failed; empty if the change is not a failure."""
    actor: str
    """Who made the change: `api`, or the id of the worker; empty if that is not known, of `current`."""
    duration: datetime.timedelta | None
    """How long the run took that this change ended; None for other changes."""
    queue: str = ""
    """The task's queue after the change; empty if the log does not have it."""
    name: str = ""
    """The task's name after the change; empty if the log does not have it."""
    previous_queue: str = ""
    """The queue that the task left by this change; else empty."""
    previous_name: str = ""
    """The name that this change replaced; else empty."""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event of a watch."""

    cursor: str
    """Pass it to a watch of the same task or filter, in any process, to resume right after this event."""
    change: TaskLog
