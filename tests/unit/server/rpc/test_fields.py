"""Each invalid field has one sentence, with what was given and what would be right."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from duetime.v1 import task_pb2, task_service_pb2
from duetime_core.model import errors
from duetime_server.rpc import fields, violations
from duetime_server.tasks import filters

Span = duration_pb2.Duration
WEEK = datetime.timedelta(days=7)


def problem(read: Callable[[violations.Violations], Any]) -> str:
    problems = violations.Violations()
    read(problems)
    with pytest.raises(errors.InvalidArgument) as refused:
        problems.check()
    (violation,) = refused.value.violations
    assert violation.field == "f"
    return violation.description


@pytest.mark.parametrize(
    ("span", "given"),
    [
        (Span(seconds=-1), "not -1 s"),
        (Span(seconds=604_801), "not 604801 s"),
        (Span(seconds=604_800, nanos=1_000), "not 604800.000001 s"),
        (Span(seconds=2**63 - 1), "not 9223372036854775807 s"),
        (Span(seconds=-(2**63)), "not -9223372036854775808 s"),
        (Span(seconds=1, nanos=-1), "with the sign of its seconds, not 1 s and -1 ns"),
        (Span(seconds=-1, nanos=1), "with the sign of its seconds, not -1 s and 1 ns"),
        (
            Span(seconds=0, nanos=2**31 - 1),
            "of less than a second, with the sign of its seconds, not 0 s and 2147483647 ns",
        ),
    ],
)
def test_a_wrong_duration_is_quoted(span: duration_pb2.Duration, given: str) -> None:
    described = problem(lambda problems: fields.period(span, "f", problems, longest=WEEK))
    assert described.endswith(given)
    assert described.startswith("must ")


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(2**63 - 1, 0), (-(2**63), 0), (0, -1), (0, 1_000_000_000), (253402300799, 999_999_999), (-62135596801, 0)],
)
def test_a_wrong_moment_is_quoted(seconds: int, nanos: int) -> None:
    moment = timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
    described = problem(lambda problems: fields.moment(moment, "f", problems))
    assert described.startswith("must be a time between ")
    assert described.endswith(f"not {seconds} s and {nanos} ns after 1970")


@pytest.mark.parametrize("value", ["A B", "", "q" * 101, "ü", "a\n", "\x1b"])
def test_a_wrong_queue_is_quoted(value: str) -> None:
    described = problem(lambda problems: fields.queue(value, problems, field="f"))
    assert described.startswith("must be 1 to 100 characters of a-z")
    assert described.isprintable()
    assert not value or repr(value)[1:5] in described


@pytest.mark.parametrize("character", ["\0", "\x1b", "\n", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"])
def test_new_names_hold_no_control_characters_and_filters_find_old_ones(character: str) -> None:
    value = f"a{character}b"
    for check in (
        fields.request_id,
        fields.concurrency_key,
        lambda text, problems: fields.name(text, problems),
    ):
        problems = violations.Violations()
        check(value, problems)
        with pytest.raises(errors.InvalidArgument, match=f"U\\+{ord(character):04X}$"):
            problems.check()
    if character != "\0":
        problems = violations.Violations()
        assert fields.filter_text(task_service_pb2.TaskFilter(name=value), "name", problems) == value
        problems.check()


def test_filters_and_orders_of_a_megabyte_cost_little() -> None:
    request = task_service_pb2.ListTasksRequest(status=[task_pb2.Task.pending] * 1_000_000)
    with pytest.raises(errors.InvalidArgument, match="at most 1000 values; there are 1000000"):
        filters.task_filter(request)
    with pytest.raises(errors.InvalidArgument, match="order_by"):
        filters.order("a " * 500_000)
