"""Reading requests about queues. All raise InvalidArgument."""

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
_INSTEAD = "to let nothing start, pause the queue; to take the limit away, name it in update_mask alone"


def name(value: str) -> str:
    """Reads the name of a queue."""
    wrong = violations.Violations()
    read = fields.queue(value, wrong, field="name")
    wrong.check()
    return read


def changes(request: Request) -> dict[str, Any]:
    """Reads which fields of `queue.Control` to change, and to what: those present, or that update_mask names."""
    wrong = violations.Violations()
    named = masks.named(request, _CHANGEABLE, wrong)
    read = {_CHANGEABLE[field][0]: _CHANGEABLE[field][1](request, field, wrong) for field in named}
    wrong.check()
    return read


def _paused(request: Request, field: str, _: violations.Violations) -> bool:
    return bool(getattr(request, field))


def _count(request: Request, field: str, wrong: violations.Violations) -> int | None:
    if not request.HasField(field):  # type: ignore[arg-type]
        return None
    value: int = getattr(request, field)
    if not 1 <= value <= MAX_RUNNING:
        wrong.add(field, f"must be from 1 to {MAX_RUNNING}, not {value}; {_INSTEAD}")
    return value


def _rate(request: Request, field: str, wrong: violations.Violations) -> float | None:
    if not request.HasField(field):  # type: ignore[arg-type]
        return None
    value: float = getattr(request, field)
    if not math.isfinite(value) or not MIN_PER_SECOND <= value <= MAX_PER_SECOND:
        bounds = f"from {MIN_PER_SECOND} to {MAX_PER_SECOND:g} tasks a second"
        wrong.add(field, f"must be {bounds}, not {value:g}; {_INSTEAD}")
    return value


# Field → the one of queue.Control, and how it is read.
_CHANGEABLE: dict[str, tuple[str, Callable[[Request, str, violations.Violations], Any]]] = {
    "paused": ("is_paused", _paused),
    "max_running": ("max_running", _count),
    "max_per_second": ("max_per_second", _rate),
    "max_running_per_key": ("max_running_per_key", _count),
    "max_per_second_per_key": ("max_per_second_per_key", _rate),
}
FIELDS = {column: field for field, (column, _) in _CHANGEABLE.items()}
"""Field of queue.Control → the API's."""
assert FIELDS.keys() == set(queue.QueueLimits.__dataclass_fields__)
