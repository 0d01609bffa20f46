import datetime
import zoneinfo
from typing import Any

import pytest

import duetime_client
from duetime.v1 import task_service_pb2
from duetime_client import batch, request

NOW = datetime.datetime(2026, 11, 24, 8, 0, 0, 123456, tzinfo=datetime.UTC)


def create(**fields: Any) -> task_service_pb2.CreateTaskRequest:
    new = duetime_client.NewTask(**{"name": "Send Email", "execution_time": NOW, **fields})
    return request.create_task(request.resolved(new, NOW))


def update(**changes: Any) -> task_service_pb2.UpdateTaskRequest:
    return request.update_task(1, changes, None, NOW)


@pytest.mark.parametrize(
    ("execution_time", "due"),
    [
        (NOW, NOW),
        (datetime.timedelta(seconds=2), NOW + datetime.timedelta(seconds=2)),
        (datetime.timedelta(seconds=-2), NOW - datetime.timedelta(seconds=2)),
        (NOW.astimezone(zoneinfo.ZoneInfo("Asia/Kathmandu")), NOW),
    ],
)
def test_due_time_is_exact_to_the_microsecond(execution_time: Any, due: datetime.datetime) -> None:
    assert create(execution_time=execution_time).execution_time.ToDatetime(datetime.UTC) == due
    assert update(execution_time=execution_time).execution_time.ToDatetime(datetime.UTC) == due


@pytest.mark.parametrize(
    ("execution_time", "problem"),
    [
        (datetime.datetime(2026, 12, 1, 9), "execution_time: has no time zone"),  # noqa: DTZ001
        ("2026-12-01T09:00:00Z", "must be an aware datetime or a timedelta from now, not str"),
        (datetime.date(2026, 12, 1), "not date"),
        (datetime.timedelta.max, "from year 1 to 9999"),
        (datetime.datetime.max.replace(tzinfo=datetime.timezone(-datetime.timedelta(hours=1))), "from year 1"),
    ],
)
def test_invalid_due_time_is_a_value_error(execution_time: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        create(execution_time=execution_time)


def test_unset_fields_are_not_sent() -> None:
    sent = {field.name for field, _ in create().ListFields()}
    assert sent == {"name", "execution_time", "request_id"}


def test_given_fields_are_sent() -> None:
    message = create(
        task_data={"a": 1},
        queue="mail",
        max_retries=0,
        retry_policy=duetime_client.RetryPolicy(jitter=0.0, max_backoff=datetime.timedelta(milliseconds=1)),
        timeout=datetime.timedelta(microseconds=1),
        request_id="mine",
    )
    assert message.HasField("max_retries")
    assert message.retry_policy.HasField("jitter")
    assert not message.retry_policy.HasField("multiplier")
    assert (message.retry_policy.max_backoff.nanos, message.timeout.nanos) == (1_000_000, 1_000)
    assert (message.queue, message.request_id) == ("mail", "mine")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": 1}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 2**32}, "max_retries"),
        ({"max_retries": "3"}, "max_retries"),
        ({"timeout": 30}, "timeout"),
        ({"retry_policy": {"jitter": 0}}, "retry_policy"),
        ({"retry_policy": duetime_client.RetryPolicy(initial_backoff=1)}, "retry_policy.initial_backoff"),  # type: ignore[arg-type]
        ({"task_data": []}, "task_data"),
        ({"task_data": {"text": "x" * 2**20}}, "task_data"),
    ],
)
def test_error_names_the_field_that_cannot_be_sent(fields: dict[str, Any], field: str) -> None:
    for build in (create, update):
        with pytest.raises(duetime_client.InvalidArgument) as caught:
            build(**fields)
        assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize("task_id", [0, -1, 2**32, "1", None])
def test_task_id_out_of_range_is_refused(task_id: Any) -> None:
    with pytest.raises(duetime_client.InvalidArgument, match="task_id: must be an integer from 1"):
        request.checked_task_id(task_id)


@pytest.mark.parametrize("changes", [{}, {"name": request.UNSET}, {"name": None}, {"execution_time": None}])
def test_update_without_a_field_or_to_a_missing_default_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(duetime_client.InvalidArgument):
        update(**changes)


@pytest.mark.parametrize("status", ["done", ["pending", "done"], [1]])
def test_unknown_status_is_refused_with_the_known_ones(status: Any) -> None:
    with pytest.raises(duetime_client.InvalidArgument, match="pending, running, completed, failed, cancelled"):
        request.statuses(status)


def test_batches_stay_below_a_mebibyte_and_a_thousand_tasks() -> None:
    sizes = [200_000, 1_048_000, 10, 300_000, 700_000, 10, *[10] * 1_500]
    messages = [create(task_data={"text": "x" * size}, name=str(number)) for number, size in enumerate(sizes)]
    batches = list(batch.split(messages))
    assert [member for cut in batches for member in cut.requests] == messages
    assert all(len(cut.requests) <= 1_000 and cut.ByteSize() <= request.MAX_BYTES for cut in batches)
    assert len(batches) == 4


@pytest.mark.parametrize(
    ("filters", "problem"),
    [
        ({"schedule_id": 0}, "schedule_id: must be an integer from 1"),
        *(({field: ""}, f"{field}: must not be empty") for field in ("queue", "name", "concurrency_key", "request_id")),
    ],
)
def test_a_filter_that_is_set_is_not_empty(filters: dict[str, Any], problem: str) -> None:
    with pytest.raises(duetime_client.InvalidArgument, match=problem):
        request.task_filter(duetime_client.Status.PENDING, **filters)
    with pytest.raises(duetime_client.InvalidArgument, match=problem):
        request.list_tasks((), "task_id", 50, **filters)
