"""Specs and templates as JSON for the database, field by field. A missing field has its default."""

import datetime
from typing import Any

from duetime_core.model import recurrence, schedule, task
from duetime_core.model.recurrence.spec import ZERO


def from_spec(spec: recurrence.Spec) -> dict[str, Any]:
    """Returns a spec as JSON."""
    return _without_none(
        cron=spec.cron,
        interval=_microseconds(spec.interval),
        anchor=_text(spec.anchor),
        time_zone=spec.time_zone,
        start_time=_text(spec.start_time),
        end_time=_text(spec.end_time),
        missing_time=spec.missing_time,
        repeated_time=spec.repeated_time,
        jitter=_microseconds(spec.jitter or None),
        blackouts=[_from_blackout(each) for each in spec.blackouts] or None,
    )


def to_spec(value: dict[str, Any]) -> recurrence.Spec:
    """Returns the spec that `from_spec` wrote."""
    return recurrence.Spec(
        cron=value.get("cron"),
        interval=_span(value.get("interval")),
        anchor=_moment(value.get("anchor")),
        time_zone=value["time_zone"],
        start_time=_moment(value.get("start_time")),
        end_time=_moment(value.get("end_time")),
        missing_time=recurrence.MissingTime(value["missing_time"]),
        repeated_time=recurrence.RepeatedTime(value["repeated_time"]),
        jitter=_span(value.get("jitter")) or ZERO,
        blackouts=tuple(_to_blackout(each) for each in value.get("blackouts", ())),
    )


def from_template(template: schedule.Template) -> dict[str, Any]:
    """Returns a template as JSON."""
    policy = template.retry_policy
    return _without_none(
        name=template.name,
        task_data=template.task_data,
        queue=template.queue,
        max_retries=template.max_retries,
        initial_backoff=_microseconds(policy.initial_backoff),
        max_backoff=_microseconds(policy.max_backoff),
        multiplier=policy.multiplier,
        jitter=policy.jitter,
        timeout=_microseconds(template.timeout),
        priority=template.priority,
        concurrency_key=template.concurrency_key,
    )


def to_template(value: dict[str, Any]) -> schedule.Template:
    """Returns the template that `from_template` wrote."""
    return schedule.Template(
        name=value["name"],
        task_data=value["task_data"],
        queue=value["queue"],
        max_retries=value["max_retries"],
        retry_policy=task.RetryPolicy(
            _span(value["initial_backoff"]) or ZERO,
            _span(value["max_backoff"]) or ZERO,
            value["multiplier"],
            value["jitter"],
        ),
        timeout=_span(value.get("timeout")),
        priority=value.get("priority", 0),
        concurrency_key=value.get("concurrency_key"),
    )


def _from_blackout(blackout: recurrence.Blackout) -> dict[str, Any]:
    return _without_none(
        days=sorted(blackout.days) or None,
        from_time=_text(blackout.from_time),
        until_time=_text(blackout.until_time),
        first_date=_text(blackout.first_date),
        last_date=_text(blackout.last_date),
        behavior=blackout.behavior,
    )


def _to_blackout(value: dict[str, Any]) -> recurrence.Blackout:
    times = {name: datetime.time.fromisoformat(value[name]) for name in ("from_time", "until_time") if name in value}
    dates = {name: datetime.date.fromisoformat(value[name]) for name in ("first_date", "last_date") if name in value}
    return recurrence.Blackout(
        days=frozenset(value.get("days", ())),
        from_time=times.get("from_time"),
        until_time=times.get("until_time"),
        first_date=dates.get("first_date"),
        last_date=dates.get("last_date"),
        behavior=recurrence.BlackoutBehavior(value["behavior"]),
    )


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _text(value: datetime.datetime | datetime.date | datetime.time | None) -> str | None:
    return None if value is None else value.isoformat()


def _moment(value: str | None) -> datetime.datetime | None:
    return None if value is None else datetime.datetime.fromisoformat(value)


def _microseconds(value: datetime.timedelta | None) -> int | None:
    return None if value is None else value // datetime.timedelta(microseconds=1)


def _span(value: int | None) -> datetime.timedelta | None:
    return None if value is None else datetime.timedelta(microseconds=value)
