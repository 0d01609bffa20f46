"""Retries are completed from the defaults of the handler."""

import datetime

import pytest
from google.protobuf import duration_pb2

from duetime.v1 import task_pb2, task_service_pb2
from duetime_core.model import errors, task
from duetime_server.rpc import violations
from duetime_server.tasks import retries

SECOND = datetime.timedelta(seconds=1)
HANDLER = task.Retries(7, task.RetryPolicy(10 * SECOND, 60 * SECOND, 3, 0.5))


def span(seconds: int) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=seconds)


def test_a_request_without_retries_gets_its_handlers() -> None:
    assert retries.read(task_service_pb2.CreateTaskRequest(), HANDLER) == HANDLER


def test_each_field_of_a_request_replaces_its_default() -> None:
    policy = task_pb2.RetryPolicy(multiplier=2, jitter=0)
    request = task_service_pb2.CreateTaskRequest(max_retries=0, retry_policy=policy)
    expected = task.Retries(0, task.RetryPolicy(10 * SECOND, 60 * SECOND, 2, 0))
    assert retries.read(request, HANDLER) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (task_pb2.RetryPolicy(initial_backoff=span(90)), (90, 90)),
        (task_pb2.RetryPolicy(max_backoff=span(5)), (5, 5)),
    ],
)
def test_one_backoff_adjusts_the_default_of_the_other(given: task_pb2.RetryPolicy, expected: tuple[int, int]) -> None:
    read = retries.policy(given, HANDLER.retry_policy, violations.Violations())
    assert (read.initial_backoff, read.max_backoff) == (expected[0] * SECOND, expected[1] * SECOND)


def test_values_out_of_bounds_are_refused() -> None:
    problems = violations.Violations()
    policy = task_pb2.RetryPolicy(initial_backoff=span(9), max_backoff=span(8), multiplier=0.5, jitter=2)
    request = task_service_pb2.CreateTaskRequest(max_retries=1_001)
    retries.max_retries(request, 3, problems)
    retries.policy(policy, task.RetryPolicy(), problems)
    with pytest.raises(errors.InvalidArgument) as refused:
        problems.check()
    assert [each.field for each in refused.value.violations] == [
        "max_retries",
        "retry_policy.max_backoff",
        "retry_policy.multiplier",
        "retry_policy.jitter",
    ]
