"""The schedule as callers see it. All times that come from the server are aware, in UTC, to the microsecond."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from duetime_client import task

Overlap = Literal["allow", "skip", "queue"]
CatchUp = Literal["last", "all", "none"]


@dataclasses.dataclass(frozen=True, slots=True)
class Blackout:
    """A time in which nothing is due, by the schedule's local time: hours of the week, or dates."""

    days: Sequence[str] = ()
    """`monday` to `sunday`, or such as `mon-fri`; empty: every day. Whole days, or hours of them."""
    from_time: str = ""
    """When it begins on each of these days, such as `22:00`."""
    until_time: str = ""
    """When it ends: on the same day, at `24:00` at the latest, or, if not later than from_time, on the next one."""
    first_date: str = ""
    """Instead: the first date of it, such as `2027-12-24`."""
    last_date: str = ""
    """The last date of it; by default first_date."""
    behavior: Literal["", "skip", "move"] = ""
    """What becomes of an occurrence in it: `skip` (default), or `move` to its end."""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskTemplate:
    """The task that is made each time; what is None has the server's default. The fields are those of NewTask."""

    name: str
    task_data: Mapping[str, Any] | None = None
    queue: str | None = None
    max_retries: int | None = None
    retry_policy: task.RetryPolicy | None = None
    timeout: datetime.timedelta | None = None
    priority: int | None = None
    concurrency_key: str | None = None


class Rule(TypedDict, total=False):
    """What says when: either cron or interval, and what changes the times that they give; None is the default."""

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
    """A rule, and what happens when runs overlap or times were missed."""

    overlap: Overlap | None
    catch_up: CatchUp | None
    catch_up_window: datetime.timedelta | None


class Changes(Policies, total=False):
    """What of a schedule can be changed; None gives a field its default back."""

    name: str
    task: TaskTemplate


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """Work that recurs: when, and which task is made each time."""

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
    """The nominal time of its next occurrence; None if it is paused, or there is none any more."""
    next_task_id: int
    """The task that is its next occurrence; 0 if there is none."""
    last_time: datetime.datetime
    """The last nominal time that was dealt with: the next one comes after it."""
    version: int
    """Rises by one with every change by a caller; `update_schedule(version=…)` compares it."""
    created_at: datetime.datetime
    updated_at: datetime.datetime
    request_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduleLog:
    """One line of a schedule's history."""

    schedule_id: int
    change: str
    """What happened, such as `created` or `skipped`. The set is open."""
    nominal_time: datetime.datetime | None
    """The nominal time that it is about, the first of them if it is about several."""
    until: datetime.datetime | None
    """The last of them, if it is about several."""
    reason: str
    """Why an occurrence was skipped; of `updated`, the fields that changed, such as `cron, task.queue`; else empty."""
    task_id: int
    """The task that it is about; 0 if there is none."""
    actor: str
    timestamp: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class PreviewedTime:
    """A time at which a rule comes true."""

    time: datetime.datetime
    local_time: str
    """The same moment in the schedule's zone, such as `2027-03-28T03:30:00+02:00`."""
    moved_from: datetime.datetime | None
    """The time by the rule, if a blackout moved it."""
    repeated: bool = False
    """Whether the clock, set back, shows this local time for the second time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recomputed:
    """What moved when the server's time zone database was asked again."""

    schedules: int
    """How many schedules had their next occurrence moved."""
    tasks: int
    """How many tasks with a local time were moved."""
    time_zone_version: str
    """The version of that database, such as `2026b`."""
