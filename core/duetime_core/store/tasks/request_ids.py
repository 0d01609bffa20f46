"""Whether a request_id that was used before may be used again."""

import datetime
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from duetime_core.model import errors, task

_ANOTHER = "Use another request_id to create a new one."


def digest(request: Mapping[str, Any]) -> uuid.UUID:
    """Returns what distinguishes a repeated request from another one with its request_id."""
    return uuid.UUID(bytes=hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()[:16])


def refusal(
    request_id: str, task_id: int, *, is_same: bool, status: str, deleted_at: datetime.datetime | None
) -> errors.RequestIdTaken | None:
    """Returns why the request_id of `task_id` is refused; None if that task is the result of the repeated request.

    `is_same` is whether the same request created it. A caller who lost the response gets the task, even if it has
    completed or failed; but not a task that a caller cancelled or deleted, which a new request cannot mean.
    """
    metadata = {"request_id": request_id, "task_id": str(task_id)}
    if not is_same:
        became = "deleted" if deleted_at is not None else status
        return errors.RequestIdReused(
            f"request_id {request_id!r} was used before, for another request: it created task {task_id} ({became}). "
            f"{_ANOTHER}",
            **metadata,
        )
    if deleted_at is not None:
        return errors.RequestIdOfDeletedTask(
            f"request_id {request_id!r} created task {task_id}, which was deleted. {_ANOTHER}", **metadata
        )
    if status == task.Status.CANCELLED:
        return errors.RequestIdOfCancelledTask(
            f"request_id {request_id!r} created task {task_id}, which was cancelled. Retry that task, or use another "
            "request_id to create a new one.",
            **metadata,
        )
    return None


def schedule_refusal(
    request_id: str, schedule_id: int, *, is_same: bool, deleted_at: datetime.datetime | None
) -> errors.RequestIdTaken | None:
    """Returns why the request_id of `schedule_id` is refused; None if that schedule is the result."""
    metadata = {"request_id": request_id, "schedule_id": str(schedule_id)}
    if not is_same:
        became = "" if deleted_at is None else " (deleted)"
        return errors.RequestIdReused(
            f"request_id {request_id!r} was used before, for another request: it created schedule "
            f"{schedule_id}{became}. {_ANOTHER}",
            **metadata,
        )
    if deleted_at is not None:
        return errors.RequestIdOfDeletedSchedule(
            f"request_id {request_id!r} created schedule {schedule_id}, which was deleted. {_ANOTHER}", **metadata
        )
    return None
