"""The edge limits the rate of each address, and of all, before it is known who calls."""

import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
import pytest_asyncio

import duetime_client
from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from duetime_stack import rates
from tests.acceptance import edges, refusals
from tests.support import processes

SLOW = rates.Rates(of_address=1, total=1_000)
"""Little enough that no test takes so long that the bucket is refilled."""


def stopped(bootstrap: dict[str, Any]) -> None:
    """Lets the buckets fill once an hour."""
    (manager,) = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    filters = {each["name"]: each["typed_config"] for each in manager["typed_config"]["http_filters"]}
    limiting = filters["envoy.filters.http.local_ratelimit"]
    for limited in (limiting, *limiting["descriptors"]):
        limited["token_bucket"]["fill_interval"] = "3600s"


@contextlib.asynccontextmanager
async def from_address(client: httpx.AsyncClient, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client at another loopback address."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(transport=transport, base_url=client.base_url, timeout=30) as other:
        yield other


@pytest_asyncio.fixture
async def server(start: processes.Starter) -> processes.Process:
    """A server."""
    return await start.server()


async def until_limited(client: httpx.AsyncClient, path: str = "/api/tasks", **options: Any) -> httpx.Response:
    """Returns the first response that the rate refuses."""
    for _ in range(100):
        response = await client.get(path, **options)
        if response.status_code == 429:
            return response
        assert response.status_code == 200, response.text
    raise AssertionError("100 requests were served")


async def test_an_address_that_calls_too_often_is_refused_and_others_are_not(
    server: processes.Process, tmp_path: pathlib.Path
) -> None:
    async with edges.running(tmp_path, server.address, limits=SLOW, adjust=stopped) as client:
        response = await until_limited(client)
        refusal = refusals.over_rest(response)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CALL_RATE_EXCEEDED")
        assert response.headers["retry-after"] == "1"
        assert response.json()["details"][1]["retry_delay"] == "1s"
        assert "cache-control" in response.headers
        for path in ("/api/nothing", "/", "/api/tasks:watch"):
            assert (await client.get(path)).status_code == 429
        async with from_address(client, "127.0.0.2") as other:
            assert (await other.get("/api/tasks")).status_code == 200
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-duetime-peer", "x-envoy-external-address", "authorization"])
async def test_no_header_gives_a_caller_another_rate_or_takes_that_of_another(
    server: processes.Process, tmp_path: pathlib.Path, header: str
) -> None:
    async with edges.running(tmp_path, server.address, limits=SLOW, adjust=stopped) as client:
        await until_limited(client, headers={header: "127.0.0.2"})
        assert (await client.get("/api/tasks", headers={header: "127.0.0.3"})).status_code == 429
        async with from_address(client, "127.0.0.2") as other:
            assert (await other.get("/api/tasks")).status_code == 200


async def test_grpc_callers_learn_when_to_retry(server: processes.Process, tmp_path: pathlib.Path) -> None:
    async with edges.running(tmp_path, server.address, limits=SLOW, adjust=stopped) as client:
        await until_limited(client)
        address = f"127.0.0.1:{client.base_url.port}"
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            refusal = await refusals.over_grpc(stub.ListTasks(task_service_pb2.ListTasksRequest()))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CALL_RATE_EXCEEDED")
            assert refusal.message == "too many requests; retry in a second"
        async with duetime_client.AsyncClient(address) as caller:
            with pytest.raises(duetime_client.CallRateExceeded) as caught:
                await caller.get(1)
            assert caught.value.retry_after.total_seconds() == 1


async def test_a_client_that_is_refused_retries_until_the_bucket_is_refilled(
    server: processes.Process, tmp_path: pathlib.Path
) -> None:
    async with edges.running(tmp_path, server.address, limits=SLOW) as client:
        await until_limited(client)
        async with duetime_client.AsyncClient(f"127.0.0.1:{client.base_url.port}") as caller:
            with pytest.raises(duetime_client.TaskNotFound):
                await caller.get(1)


async def test_all_addresses_together_have_a_rate_that_one_cannot_use_up(
    server: processes.Process, tmp_path: pathlib.Path
) -> None:
    limits = rates.Rates(of_address=2, total=4)
    async with edges.running(tmp_path, server.address, limits=limits, adjust=stopped) as client:
        await until_limited(client)
        for _ in range(20):
            assert (await client.get("/api/tasks")).status_code == 429
        served = 0
        for number in range(2, 8):
            async with from_address(client, f"127.0.0.{number}") as other:
                while (response := await other.get("/api/tasks")).status_code == 200:
                    served += 1
                assert response.status_code == 429
        assert 1 <= served <= 2 * 4 - 1
