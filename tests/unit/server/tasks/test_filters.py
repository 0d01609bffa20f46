"""Reading filters and orders of tasks."""

from typing import Any

import pytest

from duetime.v1 import task_pb2, task_service_pb2
from duetime_core.model import errors, task
from duetime_core.store.tasks import page as task_page
from duetime_server.tasks import filters


def test_an_empty_filter_matches_all() -> None:
    assert filters.task_filter(task_service_pb2.ListTasksRequest()) == task_page.Filter()


def test_a_filter_has_each_status_once() -> None:
    pending = task_pb2.Task.Status.Value("pending")
    request = task_service_pb2.ListTasksRequest(status=[pending, pending], queue="mail", schedule_id=7)
    expected = task_page.Filter((task.Status.PENDING,), "mail", schedule_id=7)
    assert filters.task_filter(request) == expected


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"status": [99]}, "status: must be one of pending, running, completed, failed, cancelled, not 99"),
        ({"status": [1] * 1_001}, "status: must be at most 1000 values; there are 1001"),
        ({"queue": "A"}, "queue: must be 1 to 100 characters"),
        ({"name": "a\0"}, "name: must not contain the NUL character"),
        ({"queue": ""}, "queue: must be 1 to 100 characters"),
        ({"name": ""}, "name: must not be empty; leave it out to select any"),
        ({"name_prefix": ""}, "name_prefix: must not be empty"),
        ({"concurrency_key": ""}, "concurrency_key: must not be empty"),
        ({"request_id": ""}, "request_id: must not be empty"),
        ({"schedule_id": 0}, "schedule_id: must be from 1 on, not 0; leave it out to select any"),
    ],
)
def test_an_invalid_filter_is_refused_with_its_prefix(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"^filter.{problem}"):
        filters.task_filter(task_service_pb2.TaskFilter(**fields), prefix="filter.")


@pytest.mark.parametrize(
    ("given", "read"),
    [("", "execution_time"), (" task_id  desc ", "task_id desc"), ("execution_time asc", "execution_time")],
)
def test_an_order_may_be_spaced_and_explicit(given: str, read: str) -> None:
    assert filters.order(given) == read


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^order_by: must be one of: execution_time, .*; not 'name'"):
        filters.order("name")
