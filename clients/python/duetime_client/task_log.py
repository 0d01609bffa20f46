"""A task's history, and the events of a watch, which are its rows as they are written."""

import dataclasses
import datetime

from duetime_client import task


@dataclasses.dataclass(frozen=True, slots=True)
class TaskLog:
    """One change of one task. (task_id, version) names it; it never changes itself."""

    task_id: int
    version: int
    """The task's version after the change: 1 for its creation, then one more a row."""
    status: task.Status
    """The task's status after the change."""
    change: str
    """What happened: `created`, `updated`, `started`, `completed`, `failed`, `retry_scheduled`, `lease_lost`,
    `released`, `cancelled`, `deleted`, `retried`, or what a newer server adds. `current` is no change: how a watched
    task stands whose last change is older than the log."""
    timestamp: datetime.datetime
    """When it happened, aware, in UTC, by the database's clock."""
    execution_time: datetime.datetime
    retry_count: int
    error_message: str
    """Why, where the change is a failure; else empty."""
    actor: str
    """Who did it: `api`, or the id of the worker; empty if that is not known, of `current`."""
    duration: datetime.timedelta | None
    """How long the run took that this change ended; None on other changes."""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskEvent:
    """One change that a watch saw."""

    cursor: str
    """Hand it to a watch of the same task or filter, in any process, to go on right after this event."""
    change: TaskLog
