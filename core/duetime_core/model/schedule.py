"""Schedules: a recurrence rule, the task to create each time, and the policies for overlapping and missed runs."""

import dataclasses
import datetime
import enum
from collections.abc import Sequence
from typing import Any

from duetime_core.model import recurrence, task


class Overlap(enum.StrEnum):
    """What happens when an occurrence is due while an earlier one has not ended."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    """One occurrence waits; those that become due meanwhile are skipped."""


class CatchUp(enum.StrEnum):
    """What happens to occurrences that were missed while nothing could run."""

    LAST = "last"
    """Only the last of them runs."""
    ALL = "all"
    NONE = "none"
    """An occurrence that is more than a minute late is skipped."""


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """The task to create each time. The fields are those of `task.NewTask`."""

    name: str
    task_data: dict[str, Any] = dataclasses.field(default_factory=dict)
    queue: str = task.DEFAULT_QUEUE
    max_retries: int = task.DEFAULT_MAX_RETRIES
    retry_policy: task.RetryPolicy = dataclasses.field(default_factory=task.RetryPolicy)
    timeout: datetime.timedelta | None = None
    priority: int = 0
    concurrency_key: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule to create, already validated."""

    name: str
    spec: recurrence.Spec
    template: Template
    overlap: Overlap = Overlap.ALLOW
    catch_up: CatchUp = CatchUp.LAST
    catch_up_window: datetime.timedelta | None = None
    """How late an occurrence may be and still be caught up; None: any delay."""
    is_paused: bool = False
    request_id: str | None = None
    requested_retries: task.Retries | None = None
    """As in `task.NewTask`, for the template."""


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """A row of `schedules`. All times are aware, in UTC, by the database's clock."""

    schedule_id: int
    name: str
    spec: recurrence.Spec
    template: Template
    overlap: Overlap
    catch_up: CatchUp
    catch_up_window: datetime.timedelta | None
    is_paused: bool
    last_nominal_time: datetime.datetime  # the last one that was run or skipped
    zone_version: str  # of the time zone database that the next occurrence was computed with
    version: int  # incremented with every change by a caller
    created_at: datetime.datetime
    updated_at: datetime.datetime
    request_id: str | None
    next_time: datetime.datetime | None = None  # the nominal time of its next occurrence
    next_task_id: int | None = None  # and its task
    next_nominal_time: datetime.datetime | None = None  # of the next occurrence that next_due_at was computed for
    next_due_at: datetime.datetime | None = None  # when that is due by the rule
    advance_at: datetime.datetime | None = None  # when the schedule has to be advanced
    is_waiting: bool = False  # whether its next occurrence is due, and waits for an earlier run
    advance_failures: int = 0  # how many attempts to advance it have failed in a row
    advance_error: str | None = None  # why the last one failed

    @property
    def seed(self) -> str:
        """The seed of its jitter."""
        return str(self.schedule_id)


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduleLog:
    """A row of `schedule_logs`. `until` is the last nominal time if the row covers several.

    `reason` says why an occurrence was skipped, or which fields an update changed.
    """

    log_id: int
    schedule_id: int
    change: str
    nominal_time: datetime.datetime | None
    until: datetime.datetime | None
    reason: str | None
    task_id: int | None
    actor: str
    timestamp: datetime.datetime


def differences(before: Schedule, after: Schedule) -> list[str]:
    """Returns the names of the fields that differ, as the API spells them."""
    changed = _differing(before.spec, after.spec)
    changed += _differing(before, after, within=("name", "overlap", "catch_up", "catch_up_window"))
    return changed + [f"task.{name}" for name in _differing(before.template, after.template)]


def _differing(before: Any, after: Any, *, within: Sequence[str] = ()) -> list[str]:
    names = within or [field.name for field in dataclasses.fields(before)]
    return [name for name in names if getattr(before, name) != getattr(after, name)]
