"""Envoy's response to each gRPC status, and to servers that do not respond."""

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest_asyncio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from duetime.v1 import task_pb2, task_service_pb2
from tests.acceptance import edges, refusals, requests
from tests.support import processes

CODES = {code.value[0]: code for code in grpc.StatusCode}
NEVER = 100


async def obey(request: task_service_pb2.GetTaskRequest, context: Any) -> task_pb2.Task:
    """Fails with the code whose number is the task_id, and does not respond for task NEVER."""
    if request.task_id == NEVER:
        await asyncio.Event().wait()
    await context.abort(CODES[request.task_id], "as you wish")
    raise AssertionError("abort raises")


@pytest_asyncio.fixture
async def obedient(tmp_path: pathlib.Path) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of an Envoy in front of a server with that GetTask."""
    server, checks = grpc.aio.server(), health.aio.HealthServicer()
    get_task = grpc.unary_unary_rpc_method_handler(
        obey, task_service_pb2.GetTaskRequest.FromString, task_pb2.Task.SerializeToString
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("duetime.v1.TaskService", {"GetTask": get_task})]
    )
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    async with edges.running(tmp_path, f"127.0.0.1:{port}") as client:
        yield client
    await server.stop(0)


async def test_each_grpc_status_has_its_http_status(obedient: httpx.AsyncClient) -> None:
    expected = {
        grpc.StatusCode.INVALID_ARGUMENT: 400,
        grpc.StatusCode.FAILED_PRECONDITION: 400,
        grpc.StatusCode.OUT_OF_RANGE: 400,
        grpc.StatusCode.UNAUTHENTICATED: 401,
        grpc.StatusCode.PERMISSION_DENIED: 403,
        grpc.StatusCode.NOT_FOUND: 404,
        grpc.StatusCode.ALREADY_EXISTS: 409,
        grpc.StatusCode.ABORTED: 409,
        grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
        grpc.StatusCode.INTERNAL: 500,
        grpc.StatusCode.UNIMPLEMENTED: 501,
        grpc.StatusCode.UNAVAILABLE: 503,
        grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    }
    for code, http_status in expected.items():
        response = await obedient.get(f"/api/tasks/{code.value[0]}")
        assert response.status_code == http_status, code
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {"code": code.value[0], "message": "as you wish", "details": []}


async def test_a_late_response_is_answered_with_504(obedient: httpx.AsyncClient) -> None:
    response = await obedient.get(f"/api/tasks/{NEVER}", headers={"grpc-timeout": "300m"})
    assert response.status_code == 504
    refusal = refusals.over_rest(response)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert refusal.message == "no response in time; the outcome is unknown: the change may have been committed"


async def test_every_route_answers_503_without_a_server(tmp_path: pathlib.Path) -> None:
    async with edges.running(tmp_path, f"127.0.0.1:{processes.free_port()}") as client:
        for response in (
            await client.get("/api/tasks"),
            await client.get("/api/tasks/1:watch"),
            await client.post("/api/tasks", json=requests.as_json()),
        ):
            assert response.status_code == 503
            refusal = refusals.over_rest(response)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_UNAVAILABLE")
            assert refusal.message.startswith("no server is available; retry: ")


async def test_every_route_reports_an_unavailable_database(start: processes.Starter, tmp_path: pathlib.Path) -> None:
    nowhere = f"postgresql://postgres@127.0.0.1:{processes.free_port()}/duetime"
    server = await start.server(database_url=nowhere)
    async with edges.running(tmp_path, server.address) as client:
        for response in await asyncio.gather(
            client.get("/api/tasks"),
            client.get("/api/tasks/1/status"),
            client.get("/api/tasks/1:watch"),
            client.get("/api/tasks:watch"),
            client.post("/api/tasks", json=requests.as_json()),
            client.post("/api/tasks:batchCreate", json={"requests": [requests.as_json()]}),
            client.delete("/api/tasks/1"),
        ):
            assert response.status_code == 503
            refusal = refusals.over_rest(response)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
            assert refusal.message == "The database is unavailable. Nothing was changed; retry later."
