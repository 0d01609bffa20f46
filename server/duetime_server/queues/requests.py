"""Reads requests about queues. All raise InvalidArgument."""

import math
from collections.abc import Callable
from typing import Any

from duetime.v1 import queue_service_pb2
from duetime_core.model import queue
from duetime_server.rpc import fields, masks, violations

MAX_RUNNING = 1_000_000
MIN_PER_SECOND = 0.001
MAX_PER_SECOND = 100_000.0

Request = queue_service_pb2.UpdateQueueRequest
_INSTEAD = "to start no tasks, pause the queue; to remove the limit, name it in update_mask and leave it unset"


def name(value: str) -> str:
    """Reads the name of a queue."""
    problems = violations.Violations()
    read = fields.queue(value, problems, field="name")
    problems.check()
    return read


def changes(request: Request) -> dict[str, Any]:
    """Reads the new values of fields of `queue.QueueLimits`: those present, or those that update_mask names."""
    problems = violations.Violations()
    named = masks.named(request, _SETTABLE, problems)
    read = {_SETTABLE[field][0]: _SETTABLE[field][1](request, field, problems) for field in named}
    problems.check()
    return read


def _paused(request: Request, field: str, _: violations.Violations) -> bool:
    return bool(getattr(request, field))


def _count(request: Request, field: str, problems: violations.Violations) -> int | None:
    if not request.HasField(field):  # type: ignore[arg-type]
        return None
    value: int = getattr(request, field)
    if not 1 <= value <= MAX_RUNNING:
        problems.add(field, f"must be from 1 to {MAX_RUNNING}, not {value}; {_INSTEAD}")
    return value


def _rate(request: Request, field: str, problems: violations.Violations) -> float | None:
    if not request.HasField(field):  # type: ignore[arg-type]
        return None
    value: float = getattr(request, field)
    if not math.isfinite(value) or not MIN_PER_SECOND <= value <= MAX_PER_SECOND:
        bounds = f"from {MIN_PER_SECOND} to {MAX_PER_SECOND:g} tasks per second"
        problems.add(field, f"must be {bounds}, not {value:g}; {_INSTEAD}")
    return value


# Field of the request → field of queue.QueueLimits, and its reader.
_SETTABLE: dict[str, tuple[str, Callable[[Request, str, violations.Violations], Any]]] = {
    "paused": ("is_paused", _paused),
    "max_running": ("max_running", _count),
    "max_per_second": ("max_per_second", _rate),
    "max_running_per_key": ("max_running_per_key", _count),
    "max_per_second_per_key": ("max_per_second_per_key", _rate),
}
FIELDS = {column: field for field, (column, _) in _SETTABLE.items()}
"""Field of queue.QueueLimits → field of the API."""
assert FIELDS.keys() == set(queue.QueueLimits.__dataclass_fields__)
