"""Encoding values in the JSON parameters of statements, and the SQL of the fields that these have in common."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from duetime_core.model import schedule, task

POLICY = tuple(field.name for field in dataclasses.fields(task.RetryPolicy))
"""The fields of a retry policy; those of a task have columns that begin with `retry_`."""
RETRIES = {
    "max_retries": "int",
    "initial_backoff": "interval",
    "max_backoff": "interval",
    "multiplier": "float8",
    "jitter": "float8",
}
"""The fields of `task.Retries`, flat, with their types."""
TEMPLATE = {
    "name": "text",
    "queue": "text",
    "task_data": "jsonb",
    **RETRIES,
    "timeout": "interval",
    "priority": "smallint",
    "concurrency_key": "text",
}
"""The fields that callers and schedules give to tasks alike, with their types: `template` encodes them."""
EXPRESSIONS = {"priority": "coalesce(given.priority, 0)"}
"""How fields of TEMPLATE are read from `given`, where that is not the field itself."""


def column(field: str) -> str:
    """Returns the column of `tasks` that has a field."""
    return f"retry_{field}" if field in POLICY else field


def columns(fields: Iterable[str]) -> str:
    """Returns the columns of `tasks` that have the fields."""
    return ", ".join(map(column, fields))


def record(fields: Mapping[str, str]) -> str:
    """Returns the fields with their types, as `json_to_recordset` takes them."""
    return ", ".join(f"{field} {kind}" for field, kind in fields.items())


def expressions(fields: Iterable[str], **special: str) -> list[str]:
    """Returns the expression over `given` of each field; `special` has those that are not the field itself."""
    special = {**EXPRESSIONS, **special}
    return [special.get(field, f"given.{field}") for field in fields]


def interval(span: datetime.timedelta) -> str:
    """Returns PostgreSQL's text of an interval."""
    return f"{span.total_seconds():f} seconds"  # without an exponent, which interval input rejects


def array(values: Iterable[object]) -> str:
    """Returns PostgreSQL's text of an array of values whose text needs no quotes."""
    return f"{{{','.join(map(str, values))}}}"


def texts(values: Sequence[str | None]) -> str:
    """Returns PostgreSQL's text of an array of any texts, which is empty if all are NULL."""
    if values.count(None) == len(values):
        return "{}"
    return array("NULL" if value is None else _quoted(value) for value in values)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def retries(max_retries: int, policy: task.RetryPolicy) -> dict[str, Any]:
    """Returns RETRIES."""
    return {
        "max_retries": max_retries,
        "initial_backoff": interval(policy.initial_backoff),
        "max_backoff": interval(policy.max_backoff),
        "multiplier": policy.multiplier,
        "jitter": policy.jitter,
    }


def template(given: task.NewTask | schedule.Template) -> dict[str, Any]:
    """Returns TEMPLATE.

    Fields that are not given are left out, so that the digests of requests from before these fields stay the same.
    """
    encoded = {
        "name": given.name,
        "queue": given.queue,
        "task_data": given.task_data,
        **retries(given.max_retries, given.retry_policy),
        "timeout": None if given.timeout is None else interval(given.timeout),
    }
    if given.priority:
        encoded["priority"] = given.priority
    if given.concurrency_key is not None:
        encoded["concurrency_key"] = given.concurrency_key
    return encoded
