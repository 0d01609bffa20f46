"""A call that the server has too much work for is retried when the server says, a few times, and within its timeout."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

import duetime_client
from duetime.v1 import task_pb2, task_service_pb2
from duetime_client import async_io, retries
from tests.support import answers

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
HEARTBEAT = task_service_pb2.TaskEvent(cursor="here", heartbeat=task_service_pb2.TaskEvent.Heartbeat())
CHANGE = task_service_pb2.TaskEvent(cursor="after")
CHANGE.change.task_id, CHANGE.change.version, CHANGE.change.status = 1, 7, task_pb2.Task.pending


def busy(seconds: float | None, reason: str = "CALL_RATE_EXCEEDED") -> status_pb2.Status:
    """Returns the error of a server that may be called again after that time."""
    status = status_pb2.Status(code=EXHAUSTED.value[0], message="too many calls")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="duetime"))
    if seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(datetime.timedelta(seconds=seconds))
        status.details.add().Pack(retry)
    return status


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("get", (1,)), ("delete", (1,)), ("cancel", (1,))],
    ids=["that reads", "that is not safe to repeat", "that is idempotent"],
)
@pytest.mark.parametrize("reason", ["CALL_RATE_EXCEEDED", "TOO_MANY_CALLS", "SERVER_BUSY"])
async def test_every_call_is_retried_because_nothing_was_done(
    call: answers.Caller, method: str, arguments: tuple[Any, ...], reason: str
) -> None:
    answer = task_service_pb2.DeleteTaskResponse() if method == "delete" else answers.READ_TASK
    async with answers.served(busy(0.01, reason), busy(0.01, reason), answer) as server:
        await call(server, method, *arguments)
        assert len(server.asked) == 3


async def test_the_retry_comes_after_the_delay(call: answers.Caller) -> None:
    clock = asyncio.get_running_loop().time
    async with answers.served(busy(0.5), answers.READ_TASK) as server:
        began = clock()
        await call(server, "get", 1)
        assert clock() - began >= 0.5


async def test_a_client_that_is_closed_before_the_retry_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answers.served(busy(0.01)) as server:
        client = duetime_client.AsyncClient(server.address)

        async def close(_pause: async_io.Pause, _seconds: float) -> None:
            await client.aclose()

        monkeypatch.setattr(async_io.Pause, "wait", close)
        with pytest.raises(RuntimeError, match="the client is closed"):
            await client.get(1)


async def test_a_server_that_stays_busy_is_called_a_few_times(call: answers.Caller) -> None:
    async with answers.served(busy(0.01)) as server:
        with pytest.raises(duetime_client.CallRateExceeded) as caught:
            await call(server, "create", "Send Email", datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC))
        assert len(server.asked) == retries.MAX_ATTEMPTS
        assert len({asked.request_id for asked in server.asked}) == 1
    assert caught.value.retry_after == datetime.timedelta(seconds=0.01)
    assert caught.value.remaining[0].request_id == server.asked[0].request_id


@pytest.mark.parametrize("seconds", [None, 6, 3_600])
async def test_a_call_is_not_retried_without_a_delay_that_its_timeout_allows(
    call: answers.Caller, seconds: float | None
) -> None:
    async with answers.served(busy(seconds), answers.READ_TASK) as server:
        with pytest.raises(duetime_client.CallRateExceeded, match="too many calls"):
            await call(server, "get", 1)
        assert len(server.asked) == 1


async def test_a_batch_continues_where_it_was_refused() -> None:
    created = [task_service_pb2.BatchCreateTasksResponse(task_ids=ids) for ids in (range(1, 1_001), [1_001])]
    due = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)
    async with (
        answers.served(created[0], busy(0.01), created[1]) as server,
        duetime_client.AsyncClient(server.address) as client,
    ):
        task_ids = await client.create_many(duetime_client.NewTask("noop", due) for _ in range(1_001))
        assert task_ids == list(range(1, 1_002))
        assert server.asked[1] == server.asked[2]


async def test_a_watch_that_has_worked_is_resumed_after_the_delay() -> None:
    clock = asyncio.get_running_loop().time
    async with (
        answers.served(HEARTBEAT, busy(0.5), CHANGE, CHANGE) as server,
        duetime_client.AsyncClient(server.address) as client,
        client.watch_all() as watched,
    ):
        began = clock()
        assert (await anext(watched)).change.version == 7
        assert clock() - began >= 0.5
        assert [asked.cursor for asked in itertools.islice(server.asked, 2)] == ["", "here"]


async def test_a_watch_that_never_worked_is_refused() -> None:
    async with (
        answers.served(busy(0.01, "TOO_MANY_CALLS")) as server,
        duetime_client.AsyncClient(server.address) as client,
    ):
        with pytest.raises(duetime_client.TooManyCalls):
            await anext(client.watch(1))
        assert len(server.asked) == 1
