"""Schedules. Times from the server are aware, in UTC, with microseconds."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from duetime_client import task

Overlap = Literal["allow", "skip", "queue"]
CatchUp = Literal["last", "all", "none"]


@dataclasses.dataclass(frozen=True, slots=True)
class Blackout:
    """A period without occurrences, in the schedule's local time: weekdays, hours of weekdays, or dates."""

    days: Sequence[str] = ()
    """`monday` to `sunday`, or ranges such as `mon-fri`; empty: every day. Without from_time: whole days."""
    from_time: str = ""
    """When it starts on each of these days, such as `22:00`."""
    until_time: str = ""
    """When it ends: on the same day, at `24:00` at the latest, or, if not later than from_time, on the next day."""
    first_date: str = ""
    """Instead of days and times: its first date, such as `2027-12-24`."""
    last_date: str = ""
    """Its last date; by default first_date."""
    behavior: Literal["", "skip", "move"] = ""
    """What happens to an occurrence in the blackout: `skip` (default), or `move` to its end."""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskTemplate:
    """The task that each occurrence creates; None means the server's default. The fields are those of NewTask."""

    name: str
    task_data: Mapping[str, Any] | None = None
    queue: str | None = None
    max_retries: int | None = None
    retry_policy: task.RetryPolicy | None = None
    timeout: datetime.timedelta | None = None
    priority: int | None = None
    concurrency_key: str | None = None


class Rule(TypedDict, total=False):
    """When a schedule's occurrences are: either cron or interval, and what adjusts their times; None is the default."""

    cron: str | None
    interval: datetime.timedelta | None
    anchor: datetime.datetime | None
    time_zone: str | None
    start_time: datetime.datetime | None
    end_time: datetime.datetime | None
    missing_time: Literal["shift", "skip"] | None
    repeated_time: Literal["auto", "first", "last", "both"] | None
    jitter: datetime.timedelta | None
    blackouts: Sequence[Blackout] | None


class Policies(Rule, total=False):
    """A rule, and what happens if runs overlap or times were missed."""

    overlap: Overlap | None
    catch_up: CatchUp | None
    catch_up_window: datetime.timedelta | None


class Changes(Policies, total=False):
    """The fields of a schedule that can be changed; None resets a field to its default."""

    name: str
    task: TaskTemplate


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule: when its occurrences are, and which task each of them creates."""

    schedule_id: int
    name: str
    cron: str
    """In the local time of time_zone; empty if there is an interval."""
    interval: datetime.timedelta | None
    anchor: datetime.datetime | None
    time_zone: str
    start_time: datetime.datetime | None
    end_time: datetime.datetime | None
    missing_time: str
    repeated_time: str
    jitter: datetime.timedelta | None
    blackouts: tuple[Blackout, ...]
    overlap: str
    catch_up: str
    catch_up_window: datetime.timedelta | None
    task: TaskTemplate
    paused: bool
    next_time: datetime.datetime | None
    """The nominal time of its next occurrence; None if it is paused or has ended."""
    next_task_id: int
    """The task of its next occurrence; 0 if there is none."""
    last_time: datetime.datetime
    """The last nominal time that was processed; the next one is after it."""
    version: int
    """Incremented with every change by a caller; `update_schedule(version=…)` compares it."""
    created_at: datetime.datetime
    updated_at: datetime.datetime
    request_id: str
    advance_error: str = ""
    """Why its last attempt to create the next occurrence failed, which is repeated; empty if it did not."""


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduleLog:
    """One row of a schedule's history."""

    schedule_id: int
    change: str
    """Such as `created` or `skipped`. New values may be added."""
    nominal_time: datetime.datetime | None
    """The nominal time of the occurrence, or of the first of several."""
    until: datetime.datetime | None
    """The nominal time of the last of several occurrences."""
    reason: str
    """Why an occurrence was skipped; of `updated`, the changed fields, such as `cron, task.queue`; else empty."""
    task_id: int
    """The task of the occurrence; 0 if there is none."""
    actor: str
    timestamp: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class PreviewedTime:
    """One of the next times of a rule."""

    time: datetime.datetime
    local_time: str
    """The same time in the schedule's zone, such as `2027-03-28T03:30:00+02:00`."""
    moved_from: datetime.datetime | None
    """The nominal time, if a blackout moved it."""
    repeated: bool = False
    """Whether this is the second time that a DST transition repeats this local time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recomputed:
    """What `recompute_schedules` moved."""

    schedules: int
    """How many schedules had their next occurrence moved."""
    tasks: int
    """How many tasks with a local time were moved."""
    time_zone_version: str
    """The version of the server's time zone database, such as `2026b`."""
