"""The command line's output for tasks and log rows of the server."""

import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest
import rich.console
from google.protobuf import duration_pb2, json_format

from duetime.v1 import task_pb2
from duetime_client import response
from duetime_client.cli import json_shape, screen

DUE = datetime.datetime(2026, 12, 1, 9, 0, 0, 123456, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def task_message(**fields: Any) -> task_pb2.Task:
    values = {
        "task_id": 4294967295,
        "name": "Send Email",
        "queue": "default",
        "status": task_pb2.Task.pending,
        "execution_time": DUE,
        "task_data": {"email": "a@example.com", "copies": 2, "ratio": 0.5, "tags": ["a", None]},
        "max_retries": 3,
        "retry_policy": task_pb2.RetryPolicy(
            initial_backoff=duration_pb2.Duration(seconds=1),
            max_backoff=duration_pb2.Duration(seconds=3600),
            multiplier=2,
            jitter=0.1,
        ),
        "version": 1,
        "created_at": DUE,
        "updated_at": DUE,
    }
    return task_pb2.Task(**{**values, **fields})


def log_message(**fields: Any) -> task_pb2.TaskLog:
    values = {
        "task_id": 4294967295,
        "version": 3,
        "status": task_pb2.Task.pending,
        "change": "retry_scheduled",
        "timestamp": DUE,
        "execution_time": DUE,
        "retry_count": 1,
        "error_message": "ConnectionRefusedError: the mail server at mail.example.com:25 refused",
        "actor": "worker-host-4711",
        "duration": datetime.timedelta(milliseconds=250),
    }
    return task_pb2.TaskLog(**{**values, **fields})


@pytest.mark.parametrize(
    "message",
    [
        task_message(),
        task_message(result={}, timeout=datetime.timedelta(seconds=1.5), executed_at=DUE, lease_expires_at=DUE),
        task_message(result={"sent": True}, task_data={}, error_message="so", worker_id="w", request_id="r"),
    ],
)
def test_json_of_a_task_matches_the_rest_api(message: task_pb2.Task) -> None:
    assert json_shape.of(response.to_task(message)) == as_rest(message)


@pytest.mark.parametrize("message", [log_message(), task_pb2.TaskLog(task_id=1, status=task_pb2.Task.failed)])
def test_json_of_a_log_row_matches_the_rest_api(message: task_pb2.TaskLog) -> None:
    log = json_shape.of(response.to_task_log(message))
    for unset in {"timestamp", "execution_time"} - as_rest(message).keys():  # a server always sets them
        del log[unset]
    assert log == as_rest(message)


def as_rest(message: Any) -> Any:
    """Envoy's options: preserve_proto_field_names and always_print_primitive_fields."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def rendered(renderable: Any) -> list[str]:
    console = rich.console.Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get().splitlines()


def test_task_table_fits_into_80_columns() -> None:
    long = task_message(name="Reconcile the ledgers of all branches", queue="nightly-accounting")
    lines = rendered(screen.task_table(response.to_task(message) for message in (task_message(), long)))
    assert lines[0].split() == ["id", "name", "status", "due", "retries", "queue"]
    assert "2026-12-01 10:00:00+01:00" in lines[1]
    assert "4294967295" in lines[1]
    assert max(len(line) for line in lines) <= 80
    assert "…" not in "".join(lines)


def test_log_table_fits_into_80_columns() -> None:
    lines = rendered(screen.log_table([response.to_task_log(log_message())]))
    assert "2026-12-01 10:00:00.123+01:00  retry_scheduled  0.25s" in lines[1]
    assert max(len(line) for line in lines) <= 80


def test_details_show_only_fields_that_are_set() -> None:
    lines = rendered(screen.task_details(response.to_task(task_message())))
    labels = [line.split("  ")[0].strip() for line in lines]
    assert {"task", "name", "status", "due", "data", "backoff"} <= set(labels)
    assert not {"worker", "result", "error", "timeout", "started"} & set(labels)


def test_control_characters_and_markup_are_printed_as_text() -> None:
    hostile = response.to_task(task_message(name="[red]x[/red] \x1b[2J\x07"))
    text = "".join(rendered(screen.task_details(hostile)))
    assert "[red]x[/red] \\x1b[2J\\x07" in text
    assert "\x1b" not in text


def test_change_is_one_line() -> None:
    log = response.to_task_log(log_message(error_message="first\nsecond"))
    assert screen.change_line(log) == (
        "2026-12-01 10:00:00.123+01:00  4294967295  pending    retry_scheduled: first\\nsecond"
    )
