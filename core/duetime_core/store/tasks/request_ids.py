"""What a request_id means that has made something already."""

import datetime
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from duetime_core.model import errors, task

_ANOTHER = "Use another request_id to make a new one."


def digest(request: Mapping[str, Any]) -> uuid.UUID:
    """Returns what distinguishes a repeated request from another one with its request_id."""
    return uuid.UUID(bytes=hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()[:16])


def refusal(
    request_id: str, task_id: int, *, is_same: bool, status: str, deleted_at: datetime.datetime | None
) -> errors.RequestIdTaken | None:
    """Returns why that request_id cannot stand for a new task; None if the task that it made is the answer.

    `is_same` tells whether the same request made it. The caller who lost an answer is answered, however the task ended
    by itself; but a task that a caller cancelled or deleted is not what a new request asks for.
    """
    metadata = {"request_id": request_id, "task_id": str(task_id)}
    if not is_same:
        became = "deleted" if deleted_at is not None else status
        return errors.RequestIdReused(
            f"The request_id {request_id!r} was used before, for another request: it made task {task_id} ({became}). "
            f"{_ANOTHER}",
            **metadata,
        )
    if deleted_at is not None:
        return errors.RequestIdOfDeletedTask(
            f"The request_id {request_id!r} made task {task_id}, which was deleted. {_ANOTHER}", **metadata
        )
    if status == task.Status.CANCELLED:
        return errors.RequestIdOfCancelledTask(
            f"The request_id {request_id!r} made task {task_id}, which was cancelled. Retry that task, or use another "
            "request_id to make a new one.",
            **metadata,
        )
    return None


def schedule_refusal(
    request_id: str, schedule_id: int, *, is_same: bool, deleted_at: datetime.datetime | None
) -> errors.RequestIdTaken | None:
    """Returns why that request_id cannot stand for a new schedule; None if the one that it made is the answer."""
    metadata = {"request_id": request_id, "schedule_id": str(schedule_id)}
    if not is_same:
        became = "" if deleted_at is None else " (deleted)"
        return errors.RequestIdReused(
            f"The request_id {request_id!r} was used before, for another request: it made schedule "
            f"{schedule_id}{became}. {_ANOTHER}",
            **metadata,
        )
    if deleted_at is not None:
        return errors.RequestIdOfDeletedSchedule(
            f"The request_id {request_id!r} made schedule {schedule_id}, which was deleted. {_ANOTHER}", **metadata
        )
    return None
