"""Reads requests about schedules. All raise InvalidArgument, with each invalid field and what would be right."""

import datetime
import enum
from collections.abc import Callable
from typing import Any

from duetime.v1 import schedule_pb2, schedule_service_pb2
from duetime_core.model import recurrence, schedule
from duetime_core.model.recurrence.validation import MAX_INTERVAL
from duetime_core.postgres import schema
from duetime_core.store.schedules import backfill as schedule_backfill
from duetime_core.store.schedules import page as schedule_page
from duetime_core.store.tasks import relocate
from duetime_server.rpc import fields, masks, tokens, violations
from duetime_server.schedules import blackouts
from duetime_server.tasks import requests as task_requests

DEFAULT_PREVIEW = 10
MAX_PREVIEW = 1_000

# They share fields 1 to 10, the rule.
Request = (
    schedule_service_pb2.CreateScheduleRequest
    | schedule_service_pb2.UpdateScheduleRequest
    | schedule_service_pb2.PreviewScheduleRequest
)


def schedule_id(value: int) -> int:
    """Returns `value`. Raises InvalidArgument if no schedule can have it."""
    if not 1 <= value <= schema.MAX_TASK_ID:
        raise violations.refuse("schedule_id", f"must be from 1 to {schema.MAX_TASK_ID}, not {value}")
    return value


def recompute_position(
    request: schedule_service_pb2.RecomputeSchedulesRequest, scope: object
) -> relocate.Position | None:
    """Reads from which task to continue; None is the first."""
    match tokens.decode("page_token", request.page_token, scope) if request.page_token else None:
        case None:
            return None
        case [int(after), int() | None as again_after]:
            return relocate.Position(after, again_after)
    raise violations.refuse("page_token", tokens.UNKNOWN)


def new_schedule(request: schedule_service_pb2.CreateScheduleRequest, now: datetime.datetime) -> schedule.NewSchedule:
    """Reads a new schedule."""
    problems = violations.Violations()
    new = schedule.NewSchedule(
        name=_name(request, problems),
        spec=_spec(request, problems, now),
        template=_template(request, problems),
        overlap=_overlap(request, problems),
        catch_up=_catch_up(request, problems),
        catch_up_window=_catch_up_window(request, problems),
        is_paused=request.paused,
        request_id=fields.request_id(request.request_id, problems),
    )
    problems.check()
    return new


def changes(
    request: schedule_service_pb2.UpdateScheduleRequest, present: schedule.Schedule, now: datetime.datetime
) -> dict[str, Any]:
    """Reads the new values of fields of `schedule.NewSchedule`, for a schedule as it is at present."""
    problems = violations.Violations()
    named = masks.named(request, (*_SPEC, *_OTHERS), problems)
    read = {_OTHERS[name][0]: _OTHERS[name][1](request, problems) for name in named if name in _OTHERS}
    parts = {name: _SPEC[name](request, problems) for name in named if name in _SPEC}
    if parts:
        if "cron" in parts and "interval" not in parts:
            parts |= {"interval": None, "anchor": None}
        elif "interval" in parts and "cron" not in parts:
            parts["cron"] = None
        kept = {name: getattr(present.spec, name) for name in _SPEC}
        read["spec"] = _checked(recurrence.Spec(**{**kept, **parts}), problems, now)
    problems.check()
    return read


def preview(
    request: schedule_service_pb2.PreviewScheduleRequest, now: datetime.datetime
) -> tuple[recurrence.Spec, int]:
    """Reads a rule to preview, and how many of its times to return."""
    problems = violations.Violations()
    spec = _spec(request, problems, now)
    if request.count > MAX_PREVIEW:
        problems.add("count", f"must be from 1 to {MAX_PREVIEW}, not {request.count}")
    problems.check()
    return spec, request.count or DEFAULT_PREVIEW


def backfilled(
    request: schedule_service_pb2.BackfillScheduleRequest, now: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    """Reads the interval of a backfill."""
    problems = violations.Violations()
    for name in ("start_time", "end_time"):
        if not request.HasField(name):
            problems.add(name, "is required: the interval to backfill")
    start = fields.moment(request.start_time, "start_time", problems)
    end = fields.moment(request.end_time, "end_time", problems)
    problems.check()
    if end < start:
        problems.add("end_time", "must not be before start_time")
    elif end > now:
        problems.add("end_time", "must be in the past: the schedule itself creates later occurrences")
    problems.check()
    return start, end


def too_many() -> Exception:
    """Returns the error for a backfill with too many occurrences."""
    most = schedule_backfill.MAX_BACKFILL
    return violations.refuse("end_time", f"ends an interval of more than {most} occurrences; split it")


def schedule_filter(request: schedule_service_pb2.ListSchedulesRequest) -> schedule_page.Filter:
    """Reads a filter of schedules."""
    problems = violations.Violations()
    read = schedule_page.Filter(
        name=fields.filter_text(request, "name", problems),
        queue=fields.filter_queue(request, problems),
        is_paused=request.paused if request.HasField("paused") else None,
    )
    problems.check()
    return read


def _spec(request: Request, problems: violations.Violations, now: datetime.datetime) -> recurrence.Spec:
    return _checked(recurrence.Spec(**{name: read(request, problems) for name, read in _SPEC.items()}), problems, now)


def _checked(spec: recurrence.Spec, problems: violations.Violations, now: datetime.datetime) -> recurrence.Spec:
    # A field that could not be read has a substitute value: the rule is checked only if all could.
    if not problems.are_any:
        for problem in recurrence.problems(spec, now):
            problems.add(problem.field, problem.description)
    return spec


def _moment(name: str) -> Callable[[Any, violations.Violations], datetime.datetime | None]:
    def read(request: Any, problems: violations.Violations) -> datetime.datetime | None:
        return fields.moment(getattr(request, name), name, problems) if request.HasField(name) else None

    return read


def _choice(name: str, default: enum.StrEnum) -> Callable[[Any, violations.Violations], Any]:
    return lambda request, problems: fields.choice(request, name, default, problems)


def _interval(request: Request, problems: violations.Violations) -> datetime.timedelta | None:
    if not request.HasField("interval"):
        return None
    shortest = datetime.timedelta(seconds=1)
    return fields.period(request.interval, "interval", problems, shortest=shortest, longest=MAX_INTERVAL)


def _jitter(request: Request, problems: violations.Violations) -> datetime.timedelta:
    return fields.period(request.jitter, "jitter", problems, longest=MAX_INTERVAL)


_SPEC: dict[str, Callable[[Any, violations.Violations], Any]] = {
    "cron": lambda request, _: request.cron or None,
    "interval": _interval,
    "anchor": _moment("anchor"),
    "time_zone": lambda request, _: request.time_zone or "UTC",
    "start_time": _moment("start_time"),
    "end_time": _moment("end_time"),
    "missing_time": _choice("missing_time", recurrence.MissingTime.SHIFT),
    "repeated_time": _choice("repeated_time", recurrence.RepeatedTime.AUTO),
    "jitter": _jitter,
    "blackouts": lambda request, problems: blackouts.read(request.blackouts, problems),
}
_overlap = _choice("overlap", schedule.Overlap.ALLOW)
_catch_up = _choice("catch_up", schedule.CatchUp.LAST)


def _catch_up_window(request: Any, problems: violations.Violations) -> datetime.timedelta | None:
    if not request.HasField("catch_up_window"):
        return None
    shortest = datetime.timedelta(seconds=1)
    return fields.period(request.catch_up_window, "catch_up_window", problems, shortest=shortest, longest=MAX_INTERVAL)


def _name(request: Any, problems: violations.Violations) -> str:
    return fields.name(request.name, problems, what="the name to show for the schedule")


def _template(request: Any, problems: violations.Violations) -> schedule.Template:
    template: schedule_pb2.TaskTemplate = request.task
    if not request.HasField("task"):
        problems.add("task", "is required: the task to create for each occurrence, with at least a name")
        return schedule.Template("")
    with problems.within("task."):
        return schedule.Template(**task_requests.template(template, problems))


# Field of the request → field of schedule.NewSchedule, and its reader.
_OTHERS: dict[str, tuple[str, Callable[[Any, violations.Violations], Any]]] = {
    "overlap": ("overlap", _overlap),
    "catch_up": ("catch_up", _catch_up),
    "catch_up_window": ("catch_up_window", _catch_up_window),
    "name": ("name", _name),
    "task": ("template", _template),
}
