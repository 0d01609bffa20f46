"""Converts schedules from messages, and builds the requests about them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf import message as protobuf_message

from duetime.v1 import schedule_pb2, schedule_service_pb2
from duetime_client import errors, moment, payload, request, response, scalar, schedule, task

_Message = TypeVar("_Message", bound=protobuf_message.Message)

_TIMES = {"anchor", "start_time", "end_time"}
_DURATIONS = {"interval", "jitter", "catch_up_window", "timeout"}


def checked_id(schedule_id: int) -> int:
    """Returns the id; raises InvalidArgument if it is out of range."""
    return request.checked_id(schedule_id, "schedule_id")


def assigned(message: _Message, fields: Mapping[str, Any]) -> _Message:
    """Returns the message, with the fields that are not None."""
    for name, value in fields.items():
        if value is not None:
            _assign(message, name, name, value)
    return message


def update(
    schedule_id: int, changes: schedule.Changes, version: int | None
) -> schedule_service_pb2.UpdateScheduleRequest:
    """Returns the request that changes these fields, and resets those that are None."""
    if not changes:
        raise request.nothing_to_change()
    message = schedule_service_pb2.UpdateScheduleRequest(schedule_id=checked_id(schedule_id))
    scalar.filled(message, version=version)
    assigned(message, changes)
    message.update_mask.paths.extend(changes)
    return message


def _assign(message: Any, name: str, path: str, value: Any) -> None:
    if name in _TIMES:
        getattr(message, name).CopyFrom(moment.to_timestamp(value, path))
    elif name in _DURATIONS:
        getattr(message, name).CopyFrom(moment.to_duration(value, path))
    elif name == "blackouts":
        for number, blackout in enumerate(value):
            member = getattr(message, name).add()
            for field in ("days", "from_time", "until_time", "first_date", "last_date", "behavior"):
                _assign(member, field, f"{path}[{number}].{field}", getattr(blackout, field))
    elif name == "days":
        try:
            message.days.extend([value] if isinstance(value, str) else value)
        except (TypeError, ValueError):
            raise errors.invalid(path, "must be names of days, such as monday") from None
    elif name == "task":
        template = schedule.TaskTemplate(value) if isinstance(value, str) else value
        message.task.SetInParent()
        for field in schedule.TaskTemplate.__dataclass_fields__:
            if (member := getattr(template, field)) is not None:
                _assign(message.task, field, f"{path}.{field}", member)
    elif name == "task_data":
        message.task_data.CopyFrom(payload.to_struct(value, path))
    elif name == "retry_policy":
        request.assign_retry_policy(message.retry_policy, path, value)
    else:
        scalar.assign(message, name, path, value)


def to_schedule(message: schedule_pb2.Schedule) -> schedule.Schedule:
    """Returns the message as a Schedule."""
    return schedule.Schedule(
        schedule_id=message.schedule_id,
        name=message.name,
        cron=message.cron,
        interval=_duration(message, "interval"),
        anchor=_time(message, "anchor"),
        time_zone=message.time_zone,
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        missing_time=scalar.choice(message, "missing_time"),
        repeated_time=scalar.choice(message, "repeated_time"),
        jitter=_duration(message, "jitter"),
        blackouts=tuple(_to_blackout(each) for each in message.blackouts),
        overlap=scalar.choice(message, "overlap"),
        catch_up=scalar.choice(message, "catch_up"),
        catch_up_window=_duration(message, "catch_up_window"),
        task=_to_template(message.task),
        paused=message.paused,
        next_time=_time(message, "next_time"),
        next_task_id=message.next_task_id,
        last_time=moment.from_timestamp(message.last_time),
        version=message.version,
        created_at=moment.from_timestamp(message.created_at),
        updated_at=moment.from_timestamp(message.updated_at),
        request_id=message.request_id,
        advance_error=message.advance_error,
    )


def to_log(message: schedule_pb2.ScheduleLog) -> schedule.ScheduleLog:
    """Returns the message as a ScheduleLog."""
    return schedule.ScheduleLog(
        schedule_id=message.schedule_id,
        change=message.change,
        nominal_time=_time(message, "nominal_time"),
        until=_time(message, "until"),
        reason=message.reason,
        task_id=message.task_id,
        actor=message.actor,
        timestamp=moment.from_timestamp(message.timestamp),
    )


def to_previewed(message: schedule_service_pb2.PreviewScheduleResponse.PreviewedTime) -> schedule.PreviewedTime:
    """Returns the message as a PreviewedTime."""
    time = moment.from_timestamp(message.time)
    return schedule.PreviewedTime(time, message.local_time, _time(message, "moved_from"), message.repeated)


def _to_template(message: schedule_pb2.TaskTemplate) -> schedule.TaskTemplate:
    policy: task.RetryPolicy = response.to_retry_policy(message.retry_policy)
    return schedule.TaskTemplate(
        name=message.name,
        task_data=payload.from_struct(message.task_data),
        queue=message.queue,
        max_retries=message.max_retries,
        retry_policy=policy,
        timeout=_duration(message, "timeout"),
        priority=message.priority,
        concurrency_key=message.concurrency_key or None,
    )


def _to_blackout(message: schedule_pb2.Blackout) -> schedule.Blackout:
    behavior: Any = scalar.choice(message, "behavior")
    return schedule.Blackout(
        tuple(message.days), message.from_time, message.until_time, message.first_date, message.last_date, behavior
    )


def _time(message: Any, name: str) -> datetime.datetime | None:
    return moment.from_timestamp(getattr(message, name)) if message.HasField(name) else None


def _duration(message: Any, name: str) -> datetime.timedelta | None:
    return moment.from_duration(getattr(message, name)) if message.HasField(name) else None
