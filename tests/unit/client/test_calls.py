"""Calls of both clients to a server on a loopback port that fails on purpose."""

from __future__ import annotations

import asyncio
import datetime
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2

import duetime_client
from duetime.v1 import schedule_service_pb2, task_pb2, task_service_pb2
from duetime_client import channel
from tests.support import answers, processes

DUE = datetime.datetime(2026, 12, 1, 9, tzinfo=datetime.UTC)


def refusal(code: grpc.StatusCode, reason: str, *fields: str, **metadata: str) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=f"it is {reason}")
    details: list[message.Message] = [
        error_details_pb2.ErrorInfo(reason=reason, domain="duetime", metadata=metadata),
        error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field=field, description="is wrong") for field in fields
            ]
        ),
    ]
    for detail in details[: 1 + bool(fields)]:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def new_task(name: str = "Send Email", **fields: Any) -> duetime_client.NewTask:
    return duetime_client.NewTask(name, DUE, **fields)


@pytest.mark.parametrize(
    ("method", "arguments", "answer"),
    [
        ("get", (1,), answers.READ_TASK),
        ("status", (1,), answers.PENDING),
        ("list", (), task_service_pb2.ListTasksResponse()),
        ("logs", (1,), task_service_pb2.ListTaskLogsResponse()),
        ("cancel", (1,), answers.READ_TASK),
        ("create", ("Send Email", DUE), answers.CREATED),
        ("create_many", ([new_task()],), task_service_pb2.BatchCreateTasksResponse(task_ids=[1])),
    ],
)
async def test_safe_call_is_retried_while_the_server_is_unavailable(
    call: answers.Caller, method: str, arguments: tuple[Any, ...], answer: message.Message
) -> None:
    async with answers.served(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, answer) as server:
        await call(server, method, *arguments)
        assert len(server.asked) == 3
        assert server.asked[0] == server.asked[1] == server.asked[2]


@pytest.mark.parametrize(
    ("method", "arguments", "options"),
    [("update", (1,), {"name": "Other"}), ("delete", (1,), {}), ("retry", (1,), {})],
)
async def test_call_that_is_not_safe_to_retry_is_not_retried(
    call: answers.Caller, method: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    async with answers.served(grpc.StatusCode.UNAVAILABLE) as server:
        with pytest.raises(duetime_client.Unavailable, match="cannot be reached: scripted by the test"):
            await call(server, method, *arguments, **options)
        assert len(server.asked) == 1


async def test_create_generates_a_request_id(call: answers.Caller) -> None:
    async with answers.served(answers.CREATED) as server:
        assert await call(server, "create", "Send Email", DUE) == 1
        assert await call(server, "create", "Send Email", DUE) == 1
        assert len({request.request_id for request in server.asked} - {""}) == 2


async def test_create_with_an_unknown_outcome_can_be_retried(call: answers.Caller) -> None:
    async with answers.served(grpc.StatusCode.DEADLINE_EXCEEDED, answers.CREATED) as server:
        with pytest.raises(duetime_client.DeadlineExceeded) as caught:
            await call(server, "create", "Send Email", datetime.timedelta(seconds=9), {"to": "a@example.com"})
        assert caught.value.request_id == server.asked[0].request_id
        server.answers.insert(0, task_service_pb2.BatchCreateTasksResponse(task_ids=[4]))
        assert await call(server, "create_many", caught.value.remaining) == [4]
        assert list(server.asked[1].requests) == [server.asked[0]]


async def test_update_sends_the_given_fields_and_resets_those_that_are_none(call: answers.Caller) -> None:
    async with answers.served(task_service_pb2.UpdateTaskResponse()) as server:
        await call(server, "update", 1, max_retries=0, timeout=None, version=3)
        (request,) = server.asked
        assert sorted(request.update_mask.paths) == ["max_retries", "timeout"]
        assert request.HasField("max_retries")
        assert not request.HasField("timeout")
        assert request.version == 3


async def test_list_reads_every_page_with_the_same_filter(call: answers.Caller) -> None:
    pages = [
        task_service_pb2.ListTasksResponse(tasks=[answers.READ_TASK], next_page_token="next"),
        task_service_pb2.ListTasksResponse(tasks=[answers.READ_TASK, answers.READ_TASK]),
    ]
    async with answers.served(*pages) as server:
        status = duetime_client.Status.PENDING
        assert len(await call(server, "list", status=status, due_from=DUE, order_by="task_id desc")) == 3
        assert [request.page_token for request in server.asked] == ["", "next"]
        for request in server.asked:
            assert (list(request.status), request.order_by) == ([task_pb2.Task.pending], "task_id desc")
            assert request.due_from.ToDatetime(datetime.UTC) == DUE


async def test_create_many_splits_into_batches_and_keeps_the_order(call: answers.Caller) -> None:
    batches = [range(1, 1001), range(1001, 1502)]
    created = [task_service_pb2.BatchCreateTasksResponse(task_ids=batch) for batch in batches]
    async with answers.served(*created) as server:
        tasks = (new_task(f"Task {number}") for number in range(1501))
        assert await call(server, "create_many", tasks) == list(range(1, 1502))
        assert [len(request.requests) for request in server.asked] == [1000, 501]
        assert server.asked[1].requests[0].name == "Task 1000"


async def test_create_many_of_no_tasks_sends_nothing(call: answers.Caller) -> None:
    async with answers.served(grpc.StatusCode.INTERNAL) as server:
        assert await call(server, "create_many", []) == []
        assert server.asked == []


async def test_create_many_that_fails_returns_created_and_remaining_tasks(call: answers.Caller) -> None:
    wrong = refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "requests[1].queue")
    first = task_service_pb2.BatchCreateTasksResponse(task_ids=range(1, 1001))
    async with answers.served(first, wrong) as server:
        tasks = [new_task(f"Task {number}") for number in range(1003)]
        with pytest.raises(duetime_client.InvalidArgument) as caught:
            await call(server, "create_many", tasks)
        assert caught.value.created == tuple(range(1, 1001))
        assert [task.name for task in caught.value.remaining] == ["Task 1000", "Task 1001", "Task 1002"]
        assert caught.value.violations == (("requests[1001].queue", "is wrong"),)


async def test_create_many_checks_all_tasks_before_it_sends_any(call: answers.Caller) -> None:
    async with answers.served(grpc.StatusCode.INTERNAL) as server:
        tasks = [new_task(), new_task(task_data={"order": {"id": 2**53}})]
        with pytest.raises(duetime_client.InvalidArgument, match=r"requests\[1\]\.task_data\.order\.id"):
            await call(server, "create_many", tasks)
        assert server.asked == []


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND", duetime_client.TaskNotFound),
        (grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_PENDING", duetime_client.TaskNotPending),
        (grpc.StatusCode.FAILED_PRECONDITION, "TASK_RUNNING", duetime_client.TaskRunning),
        (grpc.StatusCode.FAILED_PRECONDITION, "TASK_FINISHED", duetime_client.TaskFinished),
        (grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_RETRYABLE", duetime_client.TaskNotRetryable),
        (grpc.StatusCode.ABORTED, "VERSION_MISMATCH", duetime_client.VersionMismatch),
        (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", duetime_client.RequestIdReused),
        (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_OF_DELETED_TASK", duetime_client.RequestIdOfDeletedTask),
        (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_OF_CANCELLED_TASK", duetime_client.RequestIdOfCancelledTask),
        (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_OF_DELETED_SCHEDULE", duetime_client.RequestIdOfDeletedSchedule),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "TASK_IDS_EXHAUSTED", duetime_client.TaskIdsExhausted),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY", duetime_client.ServerBusy),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "CALL_RATE_EXCEEDED", duetime_client.CallRateExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", duetime_client.TooManyCalls),
        (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", duetime_client.Unavailable),
        (grpc.StatusCode.NOT_FOUND, "FROM_THE_FUTURE", duetime_client.NotFound),
        (grpc.StatusCode.FAILED_PRECONDITION, "FROM_THE_FUTURE", duetime_client.StateConflict),
        (grpc.StatusCode.ALREADY_EXISTS, "FROM_THE_FUTURE", duetime_client.RequestIdTaken),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "FROM_THE_FUTURE", duetime_client.DuetimeError),
    ],
)
async def test_error_class_follows_the_reason(
    call: answers.Caller, code: grpc.StatusCode, reason: str, kind: type[duetime_client.DuetimeError]
) -> None:
    async with answers.served(refusal(code, reason, status="running")) as server:
        with pytest.raises(duetime_client.DuetimeError) as caught:
            await call(server, "delete", 1)
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.reason, error.message) == (code, reason, f"it is {reason}")
    assert error.metadata == {"status": "running"}


@pytest.mark.parametrize(("sent", "expected"), [([60.5], 60.5), ([], 1)], ids=["with RetryInfo", "without"])
async def test_retry_after_is_the_retry_delay_of_a_busy_server(
    call: answers.Caller, sent: list[float], expected: float
) -> None:
    busy = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY")
    for seconds in sent:
        retry_info = error_details_pb2.RetryInfo()
        retry_info.retry_delay.FromTimedelta(datetime.timedelta(seconds=seconds))
        busy.details.add().Pack(retry_info)
    async with answers.served(busy) as server:
        with pytest.raises(duetime_client.ServerBusy) as caught:
            await call(server, "get", 1)
        assert len(server.asked) == 1
    assert caught.value.retry_after == datetime.timedelta(seconds=expected)


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote "
            "host: Connection refused",
            "Connection refused",
        ),
        (
            "errors resolving a.invalid:80: [field:hostname lookup error:address lookup failed for a.invalid:80: "
            "Domain name not found]",
            "Domain name not found",
        ),
        ("no healthy upstream", "no healthy upstream"),
    ],
    ids=lambda text: text.rpartition(": ")[2],
)
async def test_unreachable_server_is_named_with_only_the_cause(call: answers.Caller, message: str, cause: str) -> None:
    async with answers.served(status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message=message)) as server:
        with pytest.raises(duetime_client.Unavailable) as caught:
            await call(server, "delete", 1)
    assert caught.value.message == f"{server.address} cannot be reached: {cause}"


async def test_invalid_argument_lists_its_violations(call: answers.Caller) -> None:
    wrong = refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "name", "queue")
    async with answers.served(wrong) as server:
        with pytest.raises(duetime_client.InvalidArgument) as caught:
            await call(server, "create", "", DUE)
    assert caught.value.violations == (("name", "is wrong"), ("queue", "is wrong"))


async def test_error_without_a_reason_is_named_after_its_code(call: answers.Caller) -> None:
    async with answers.served(grpc.StatusCode.PERMISSION_DENIED) as server:
        with pytest.raises(duetime_client.DuetimeError) as caught:
            await call(server, "get", 1)
    assert (caught.value.reason, caught.value.message) == ("PERMISSION_DENIED", "scripted by the test")


async def test_call_without_a_response_ends_after_the_client_s_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        async with duetime_client.AsyncClient(address, timeout=datetime.timedelta(seconds=0.2)) as client:
            with pytest.raises(duetime_client.DeadlineExceeded, match="did not respond in time"):
                await client.get(1)


async def test_recomputing_schedules_continues_where_the_call_before_ended(call: answers.Caller) -> None:
    more = schedule_service_pb2.RecomputeSchedulesResponse(tasks=2, has_more=True, next_page_token="after")
    done = schedule_service_pb2.RecomputeSchedulesResponse(tasks=1, time_zone_version="2026b")
    async with answers.served(more, done) as server:
        recomputed = await call(server, "recompute_schedules")
        assert (recomputed.tasks, recomputed.time_zone_version) == (3, "2026b")
        assert [asked.page_token for asked in server.asked] == ["", "after"]


def refusing_once() -> tuple[socket.socket, str]:
    """Returns a listener that closes its first connection and leaves all others waiting, and its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
    return listener, f"127.0.0.1:{listener.getsockname()[1]}"


async def delete_async(target: str, limit: datetime.timedelta) -> None:
    async with duetime_client.AsyncClient(target, timeout=limit) as client:
        await client.delete(1)


async def delete_sync(target: str, limit: datetime.timedelta) -> None:
    with duetime_client.Client(target, timeout=limit) as client:
        await asyncio.to_thread(client.delete, 1)


@pytest.mark.parametrize("delete", [delete_async, delete_sync])
async def test_the_timeout_includes_finding_out_why_no_address_was_reached(
    monkeypatch: pytest.MonkeyPatch, delete: Callable[[str, datetime.timedelta], Awaitable[None]]
) -> None:
    monkeypatch.setattr(channel, "PROBE_SECONDS", 60.0)  # gRPC stops connecting after 20 s
    listener, at = refusing_once()
    started = time.monotonic()
    with listener, pytest.raises(duetime_client.Unavailable, match="cannot be reached"):
        await delete(f"ipv4:{at},127.0.0.1:{processes.free_port()}", datetime.timedelta(seconds=1))
    assert time.monotonic() - started < 10
