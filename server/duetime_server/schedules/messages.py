"""Writes schedules, their logs and previews as protobuf."""

from duetime.v1 import schedule_pb2, schedule_service_pb2
from duetime_core.model import recurrence, schedule
from duetime_server.schedules import blackouts
from duetime_server.tasks import messages as task_messages


def from_schedule(row: schedule.Schedule) -> schedule_pb2.Schedule:
    """Returns a schedule as protobuf."""
    spec = row.spec
    return schedule_pb2.Schedule(
        cron=spec.cron or "",
        interval=None if spec.interval is None else task_messages.duration(spec.interval),
        anchor=None if spec.anchor is None else task_messages.timestamp(spec.anchor),
        time_zone=spec.time_zone,
        start_time=None if spec.start_time is None else task_messages.timestamp(spec.start_time),
        end_time=None if spec.end_time is None else task_messages.timestamp(spec.end_time),
        missing_time=schedule_pb2.MissingTime.Policy.Value(spec.missing_time),
        repeated_time=schedule_pb2.RepeatedTime.Policy.Value(spec.repeated_time),
        jitter=task_messages.duration(spec.jitter) if spec.jitter else None,
        blackouts=[blackouts.write(each) for each in spec.blackouts],
        overlap=schedule_pb2.Overlap.Policy.Value(row.overlap),
        catch_up=schedule_pb2.CatchUp.Policy.Value(row.catch_up),
        catch_up_window=None if row.catch_up_window is None else task_messages.duration(row.catch_up_window),
        name=row.name,
        task=schedule_pb2.TaskTemplate(**task_messages.settable(row.template)),
        schedule_id=row.schedule_id,
        paused=row.is_paused,
        next_time=None if row.next_time is None else task_messages.timestamp(row.next_time),
        next_task_id=row.next_task_id or 0,
        last_time=task_messages.timestamp(row.last_nominal_time),
        version=row.version,
        created_at=task_messages.timestamp(row.created_at),
        updated_at=task_messages.timestamp(row.updated_at),
        request_id=row.request_id or "",
        advance_error=row.advance_error or "",
    )


def from_log(row: schedule.ScheduleLog) -> schedule_pb2.ScheduleLog:
    """Returns a row of a schedule's log as protobuf."""
    return schedule_pb2.ScheduleLog(
        schedule_id=row.schedule_id,
        change=row.change,
        nominal_time=None if row.nominal_time is None else task_messages.timestamp(row.nominal_time),
        until=None if row.until is None else task_messages.timestamp(row.until),
        reason=row.reason or "",
        task_id=row.task_id or 0,
        actor=row.actor,
        timestamp=task_messages.timestamp(row.timestamp),
    )


def previewed(
    spec: recurrence.Spec, occurrences: list[recurrence.Occurrence]
) -> schedule_service_pb2.PreviewScheduleResponse:
    """Returns the next times of a rule as protobuf."""
    zone = recurrence.zone(spec.time_zone)
    return schedule_service_pb2.PreviewScheduleResponse(
        times=[task_messages.timestamp(each.due) for each in occurrences],
        details=[
            schedule_service_pb2.PreviewScheduleResponse.PreviewedTime(
                time=task_messages.timestamp(each.due),
                local_time=each.due.astimezone(zone).isoformat(),
                moved_from=task_messages.timestamp(each.nominal) if each.is_moved else None,
                repeated=bool(each.due.astimezone(zone).fold),
            )
            for each in occurrences
        ],
    )
