"""Formats schedules for a terminal."""

from collections.abc import Iterable

import rich.table

import duetime_client
from duetime_client.cli import durations, json_shape, moments, printing, screen


def show(schedule: duetime_client.Schedule, as_json: bool) -> None:
    """Prints a schedule."""
    if as_json:
        printing.json(schedule)
    else:
        printing.table(_details(schedule))


def table(schedules: Iterable[duetime_client.Schedule]) -> rich.table.Table:
    """Returns one row per schedule."""
    made = screen.new_table("id", "name", "when", "next", "task")
    for each in schedules:
        screen.add_row(made, each.schedule_id, each.name, _when(each), _next(each), each.task.name)
    return made


def previewed(times: Iterable[duetime_client.PreviewedTime]) -> rich.table.Table:
    """Returns one row per time."""
    made = screen.new_table("in its zone", "in your zone", "moved from")
    for each in times:
        local = each.local_time.replace("T", " ") + (" (repeated)" if each.repeated else "")
        screen.add_row(made, local, moments.in_local_zone(each.time), moments.in_local_zone(each.moved_from))
    return made


def log_table(logs: Iterable[duetime_client.ScheduleLog]) -> rich.table.Table:
    """Returns one row per change."""
    made = screen.new_table("time", "change", "nominal time", "until", "task", "by", "reason")
    for each in logs:
        screen.add_row(
            made,
            moments.in_local_zone(each.timestamp),
            each.change,
            moments.in_local_zone(each.nominal_time),
            moments.in_local_zone(each.until),
            each.task_id or "",
            each.actor,
            each.reason,
        )
    return made


def _details(schedule: duetime_client.Schedule) -> rich.table.Table:
    window = durations.shown(schedule.catch_up_window)
    return screen.details(
        {
            "schedule": schedule.schedule_id,
            "name": schedule.name,
            "when": _when(schedule),
            "next": _next(schedule),
            "next task": schedule.next_task_id or "",
            "error": schedule.advance_error,
            "from": moments.in_local_zone(schedule.start_time),
            "until": moments.in_local_zone(schedule.end_time),
            "DST": f"missing times: {schedule.missing_time}, repeated times: {schedule.repeated_time}",
            "jitter": durations.shown(schedule.jitter),
            "blackouts": "; ".join(_blackout(each) for each in schedule.blackouts),
            "overlap": schedule.overlap,
            "catch up": f"{schedule.catch_up}, at most {window} late" if window else schedule.catch_up,
            "task": schedule.task.name,
            "data": json_shape.text(schedule.task.task_data),
            "queue": schedule.task.queue,
            "version": schedule.version,
        }
    )


def _when(schedule: duetime_client.Schedule) -> str:
    if schedule.interval is not None:
        return f"every {durations.shown(schedule.interval)}"
    return f"{schedule.cron} {schedule.time_zone}"


def _next(schedule: duetime_client.Schedule) -> str:
    return "paused" if schedule.paused else moments.in_local_zone(schedule.next_time) or "ended"


def _blackout(blackout: duetime_client.Blackout) -> str:
    if blackout.first_date:
        return f"{blackout.first_date}..{blackout.last_date} {blackout.behavior}"
    days = ",".join(day[:3] for day in blackout.days)
    return f"{days} {blackout.from_time}-{blackout.until_time} {blackout.behavior}"
