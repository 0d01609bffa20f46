"""What each principal may have of a server: a rate of calls, and calls and watches at a time."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from duetime_core.model import errors
from duetime_server import access
from duetime_server.access import quotas
from tests.support import fields, principals

GET = "/duetime.v1.TaskService/GetTask"
LIST = "/duetime.v1.TaskService/ListTasks"
WATCH = "/duetime.v1.TaskService/WatchTasks"
BATCH = "/duetime.v1.TaskService/BatchCreateTasks"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def bearer(role: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {role}")]


def details(error: grpc.aio.AioRpcError) -> tuple[str, float]:
    """Returns the reason of a refusal and after how many seconds to retry."""
    trailers: dict[str, Any] = dict(error.trailing_metadata() or ())
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details:
        assert detail.Unpack(info) or detail.Unpack(retry)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(trailers["retry-after"]) >= 1
    return info.reason, retry.retry_delay.ToTimedelta().total_seconds()


async def refused(channel: grpc.aio.Channel, path: str, role: str) -> tuple[str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await principals.call(channel, path, bearer(role))
    return details(caught.value)


def test_every_method_that_costs_more_exists() -> None:
    assert quotas.COSTS.keys() <= fields.METHODS.keys()


async def test_a_principal_calls_at_its_rate_and_leaves_others_theirs() -> None:
    clock = Clock()
    quota = quotas.Quotas(call_rate=1, clock=clock)
    async with principals.serving(quota=quota) as server, grpc.aio.insecure_channel(server.address) as channel:
        for _ in range(2):
            await principals.call(channel, GET, bearer("viewer"))
        for path, wait_seconds in ((GET, 1.0), (LIST, 2.0), (WATCH, 2.0)):
            assert await refused(channel, path, "viewer") == ("CALL_RATE_EXCEEDED", wait_seconds)
        await principals.call(channel, LIST, bearer("editor"))
        assert await refused(channel, GET, "editor") == ("CALL_RATE_EXCEEDED", 4.0)
        clock.now += 1
        await principals.call(channel, GET, bearer("viewer"))
        await refused(channel, GET, "viewer")
        assert len(server.calls) == 4


async def test_a_call_that_is_a_little_early_waits() -> None:
    clock, real = Clock(), asyncio.get_running_loop().time
    quota = quotas.Quotas(call_rate=10, clock=clock)
    async with principals.serving(quota=quota) as server, grpc.aio.insecure_channel(server.address) as channel:
        began = real()
        calls = [asyncio.create_task(principals.call(channel, GET, bearer("viewer"))) for _ in range(27)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert real() - began >= quotas.PATIENCE_SECONDS
        assert sum(error is not None for error in ended) == 2
        assert len(server.calls) == 25


async def test_a_call_that_is_denied_counts_and_health_does_not() -> None:
    async with (
        principals.serving(quota=quotas.Quotas(call_rate=1, clock=Clock())) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as denied:
                await principals.call(channel, BATCH, bearer("viewer"))
            assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED
        await refused(channel, BATCH, "viewer")
        for _ in range(5):
            await principals.call(channel, "/grpc.health.v1.Health/Check", bearer("viewer"))
        assert [path for path, _ in server.calls] == ["/grpc.health.v1.Health/Check"] * 5


async def test_a_call_that_does_the_work_of_many_counts_as_many() -> None:
    quota = quotas.Quotas(call_rate=100, clock=Clock())

    async def batch(owner: str, tasks: int) -> None:
        await quota.charge(owner, BATCH)
        access.charge(tasks)

    await asyncio.create_task(batch("key:a", 1_000))
    with pytest.raises(errors.CallRateExceeded, match="may make 100 calls a second") as caught:
        await asyncio.create_task(batch("key:a", 1))
    assert caught.value.retry_seconds == pytest.approx(8.02)
    access.charge(1_000)  # of a call that is not counted
    await asyncio.create_task(batch("key:b", 1))


def test_a_principal_has_so_many_watches_open_and_calls_in_progress() -> None:
    quota = quotas.Quotas(max_calls=2, max_watches=3)
    for is_watch, limit, what in ((False, 2, "2 calls in progress"), (True, 3, "3 watches open")):
        for _ in range(limit):
            quota.enter("key:a", is_watch=is_watch)
        with pytest.raises(errors.TooManyCalls, match=f"may have {what} at this server"):
            quota.enter("key:a", is_watch=is_watch)
        quota.enter("key:b", is_watch=is_watch)
        quota.leave("key:a", is_watch=is_watch)
        quota.enter("key:a", is_watch=is_watch)
        for owner in ("key:a",) * limit + ("key:b",):
            quota.leave(owner, is_watch=is_watch)
    assert (quota._calls._counts, quota._watches._counts) == ({}, {})


async def test_a_watch_counts_until_it_ends_also_if_its_caller_leaves_it() -> None:
    quota = quotas.Quotas(max_watches=1)
    async with (
        principals.serving(quota=quota, stays_open=True) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        held = stub.WatchTasks(task_service_pb2.WatchTasksRequest(), metadata=bearer("viewer"))
        await held.read()
        assert await refused(channel, WATCH, "viewer") == ("TOO_MANY_CALLS", 1.0)
        await principals.call(channel, GET, bearer("viewer"))
        held.cancel()
        while quota._watches._counts:  # noqa: ASYNC110 - the server learns of it in a moment
            await asyncio.sleep(0.01)
        await principals.call(channel, WATCH, bearer("viewer"))
