"""Writing tasks, their logs and events as protobuf."""

import dataclasses
import datetime
from typing import Any

from google.protobuf import json_format

from duetime.v1 import task_pb2
from duetime_core.model import task
from duetime_server.tasks import messages

NOW = datetime.datetime(2030, 1, 1, microsecond=5, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
LOG = task.TaskLog(7, 2, task.Status.FAILED, "failed", "boom", NOW, NOW, 1, "worker", SECOND, "mail", "noop", "bulk")


def row(**changes: Any) -> task.Task:
    """Returns a task with nothing that may be missing, but for `changes`."""
    required: dict[str, Any] = {
        "task_id": 7, "name": "noop", "queue": "mail", "status": task.Status.PENDING, "execution_time": NOW,
        "task_data": {"a": [1, None]}, "retry_count": 0, "max_retries": 3, "retry_policy": task.RetryPolicy(),
        "version": 1, "created_at": NOW, "updated_at": NOW, "lost_leases": 0, "priority": 0, "is_next": False,
    }  # fmt: skip
    absent = {field.name: None for field in dataclasses.fields(task.Task)}
    return task.Task(**{**absent, **required, **changes})


def test_a_task_without_optional_fields_leaves_them_unset() -> None:
    written = messages.from_task(row())
    assert (written.task_id, written.name, written.status) == (7, "noop", task_pb2.Task.Status.Value("pending"))
    assert written.execution_time.ToDatetime(datetime.UTC) == NOW
    assert json_format.MessageToDict(written.task_data) == {"a": [1, None]}
    for field in ("result", "timeout", "executed_at", "lease_expires_at", "nominal_time"):
        assert not written.HasField(field)


def test_a_task_with_optional_fields_sets_them() -> None:
    written = messages.from_task(row(timeout=SECOND, result={}, nominal_time=NOW, local_time=NOW.replace(tzinfo=None)))
    assert written.timeout.ToTimedelta() == SECOND
    assert written.HasField("result")
    assert written.local_time == "2030-01-01T00:00:00.000005"


def test_events_have_their_cursor() -> None:
    change = messages.change_event(LOG, "c")
    assert (change.cursor, change.change.error_message, change.change.duration.ToTimedelta()) == ("c", "boom", SECOND)
    assert (change.change.queue, change.change.name) == ("mail", "noop")
    assert (change.change.previous_queue, change.change.previous_name) == ("bulk", "")
    assert messages.heartbeat_event("c").WhichOneof("event") == "heartbeat"
    assert messages.end_event("TASK_TERMINAL", "c").end.reason == "TASK_TERMINAL"
