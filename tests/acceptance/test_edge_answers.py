"""The edge's own responses: health, root, and the headers of every response."""

import asyncio
import pathlib
from typing import Any

import grpc
import httpx
import pytest

from duetime.v1 import task_service_pb2
from tests.acceptance import edges, refusals, requests
from tests.support import processes

TELLING = {"server", "via", "x-powered-by", "x-envoy-upstream-service-time", "x-envoy-upstream-healthchecked-cluster"}


@pytest.mark.parametrize("path", ["/healthz", "/healthz?verbose=1"])
async def test_the_edge_is_healthy_while_a_server_is(rest: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "HEAD"):
        response = await rest.request(method, path)
        assert (response.status_code, response.content) == (200, b"")


async def test_the_edge_is_unhealthy_without_a_healthy_server(start: processes.Starter, tmp_path: pathlib.Path) -> None:
    server = await start.server()
    async with edges.running(tmp_path, server.address) as client:
        assert (await client.get("/healthz")).status_code == 200
        await server.kill()
        async with asyncio.timeout(30):
            while (response := await client.get("/healthz")).status_code == 200:
                pass
        assert response.status_code == 503
        refusal = refusals.over_rest(response)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_UNAVAILABLE")
        assert refusal.message == "no server is healthy"


def broken_check(bootstrap: dict[str, Any]) -> None:
    (manager,) = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    filters = {each["name"]: each["typed_config"] for each in manager["typed_config"]["http_filters"]}
    filters["envoy.filters.http.lua"]["default_source_code"]["inline_string"] += (
        'require("fields").check = function() error("raised by the test") end'
    )


async def test_a_request_whose_check_fails_is_rejected(
    start: processes.Starter, tmp_path: pathlib.Path, queue: str
) -> None:
    server = await start.server()
    async with edges.running(tmp_path, server.address, adjust=broken_check) as client:
        response = await client.post("/api/tasks", json=requests.as_json(queue=queue))
        assert response.status_code == 500
        assert refusals.over_rest(response).reason == "EDGE_ERROR"
        assert (await client.get("/api/tasks", params={"queue": queue})).json()["tasks"] == []


async def test_the_root_names_the_path_of_the_api(rest: httpx.AsyncClient) -> None:
    response = await rest.get("/")
    assert response.headers["content-type"] == "application/json"
    assert (response.status_code, response.json()["api"]) == (200, "/api")
    assert (await rest.get(response.json()["health"])).status_code == 200
    head = await rest.head("/")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/healthz", 200),
        ("GET", "/api/tasks", 200),
        ("GET", "/api/tasks:watch", 200),
        ("GET", "/api/tasks/4294967295", 404),
        ("GET", "/nothing", 404),
        ("POST", "/api/tasks", 400),
    ],
)
async def test_no_response_reveals_versions_or_is_cacheable(
    rest: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    headers = {"content-type": "application/json"}
    async with rest.stream(method, path, headers=headers) as response:
        assert response.status_code == status
        assert not TELLING & set(response.headers)
        assert not [name for name in response.headers if name.startswith("x-envoy")]
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_no_grpc_response_reveals_versions(stub: Any) -> None:
    call = stub.ListTasks(task_service_pb2.ListTasksRequest(page_size=1))
    await call
    names = {name for name, _ in (*await call.initial_metadata(), *await call.trailing_metadata())}
    assert not TELLING & names
    assert not [name for name in names if name.startswith("x-envoy")]
