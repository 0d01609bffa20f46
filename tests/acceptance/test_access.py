"""The edge accepts requests for its own hosts, from programs and from pages of its own origin."""

import pathlib
import socket
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from duetime_stack import allowlist
from tests.acceptance import edges, refusals, requests
from tests.support import processes, stacks

EVIL = "https://evil.example"
DENIED = grpc.StatusCode.PERMISSION_DENIED
ROUTES = [
    ("GET", "/api/tasks"),
    ("GET", "/api/tasks:watch"),
    ("POST", "/api/tasks"),
    ("POST", "/api/tasks:delete"),
    ("POST", "/api/schedules:preview"),
    ("PATCH", "/api/queues/default"),
    ("DELETE", "/api/tasks/1"),
    ("OPTIONS", "/api/tasks"),
    ("GET", "/"),
    ("GET", "/healthz"),
    ("POST", "/duetime.v1.TaskService/DeleteTasks"),
    ("GET", "/no/such/path"),
]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://localhost"},
        {"origin": "https://127.0.0.1:{port}"},
        {"origin": "http://127.0.0.1:{port}.evil.example"},
        {"origin": "http://localhost.evil.example:{port}"},
        {"origin": "http://127.0.0.1:{port}, https://evil.example"},
        {"origin": EVIL, "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:{port}"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "none, cross-site"},
    ],
    ids=str,
)
async def test_a_page_of_another_origin_is_rejected_on_every_route(
    stack: stacks.Stack, rest: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    port = stack.url.rpartition(":")[2]
    sent = {name: value.replace("{port}", port) for name, value in headers.items()}
    for method, path in ROUTES:
        response = await rest.request(method, path, headers={**sent, "content-type": "text/plain"}, content="{}")
        assert response.status_code == 403, (method, path, response.text)
        refusal = refusals.over_rest(response)
        assert (refusal.code, refusal.reason) == (DENIED, "ORIGIN_NOT_ALLOWED")
        assert "DUETIME_ORIGINS" in refusal.message
        assert sent.get("origin", "-")[:100] in refusal.message
        assert "access-control-allow-origin" not in response.headers


async def test_two_origin_headers_are_rejected(stack: stacks.Stack, rest: httpx.AsyncClient) -> None:
    for origins in ([stack.url, EVIL], [EVIL, stack.url]):
        response = await rest.get("/api/tasks", headers=[("origin", origin) for origin in origins])
        assert response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://127.0.0.1:{port}"},
        {"origin": "http://localhost:{port}"},
        {"origin": "http://[::1]:{port}"},
        {"origin": "http://127.0.0.1:{port}", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
    ids=str,
)
async def test_programs_and_own_pages_are_accepted(
    stack: stacks.Stack, rest: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    port = stack.url.rpartition(":")[2]
    sent = {name: value.replace("{port}", port) for name, value in headers.items()}
    assert (await rest.get("/api/tasks?page_size=1", headers=sent)).status_code == 200
    assert (await rest.post("/api/tasks", json=requests.as_json(), headers=sent)).status_code == 200
    async with rest.stream("GET", "/api/tasks:watch", headers=sent) as response:
        assert response.status_code == 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LocalHost", "localhost.", "[::1]", "127.0.0.1:9", "[::1]:9"]
)
async def test_loopback_hosts_are_accepted_with_any_port(rest: httpx.AsyncClient, host: str) -> None:
    assert (await rest.get("/api/tasks?page_size=1", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.nip.io",
        "127.0.0.2",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "169.254.169.254",
        "[::2]",
        "[::ffff:127.0.0.1]",
        "localhost..",
        "x" * 300,
    ],
)
async def test_an_unknown_host_is_rejected(rest: httpx.AsyncClient, host: str) -> None:
    for method, path in ROUTES:
        response = await rest.request(method, path, headers={"host": host})
        assert response.status_code == 403, (method, path, response.text)
        refusal = refusals.over_rest(response)
        assert (refusal.code, refusal.reason) == (DENIED, "HOST_NOT_SERVED")
        assert "DUETIME_HOSTS" in refusal.message
        assert host.rpartition(":")[0][:100] in refusal.message


async def test_the_host_in_the_request_target_overrides_the_host_header(stack: stacks.Stack) -> None:
    address, port = stack.address.split(":")
    request = "GET http://evil.example/api/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection((address, int(port)), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"HOST_NOT_SERVED" in answer


@pytest.mark.parametrize(
    ("options", "metadata", "setting"),
    [
        ([("grpc.default_authority", "evil.example")], (), "DUETIME_HOSTS"),
        ([], (("origin", EVIL),), "DUETIME_ORIGINS"),
        ([], (("sec-fetch-site", "cross-site"),), "DUETIME_ORIGINS"),
    ],
)
async def test_grpc_is_checked_in_the_same_way(stack: stacks.Stack, options: Any, metadata: Any, setting: str) -> None:
    async with grpc.aio.insecure_channel(stack.address, options=options) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListTasks(task_service_pb2.ListTasksRequest(), metadata=metadata)
        assert refused.value.code() is DENIED
        assert setting in (refused.value.details() or "")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await anext(aiter(stub.WatchTasks(task_service_pb2.WatchTasksRequest(), metadata=metadata)))
        assert refused.value.code() is DENIED


async def test_settings_add_hosts_and_origins(start: processes.Starter, tmp_path: pathlib.Path) -> None:
    server = await start.server()
    allowed = allowlist.parse(["192.0.2.7"], "Duetime.example.com, 10.0.0.1", "https://app.example.com")
    async with edges.running(tmp_path, server.address, allowed=allowed) as client:
        edge_port = client.base_url.port
        for host in ("localhost", "duetime.example.com", "DUETIME.example.com:443", "10.0.0.1", "192.0.2.7:80"):
            assert (await client.get("/api/tasks", headers={"host": host})).status_code == 200, host
        for host in ("app.example.com", "example.com", "other.duetime.example.com"):
            assert (await client.get("/api/tasks", headers={"host": host})).status_code == 403, host
        for origin in (f"http://duetime.example.com:{edge_port}", "https://duetime.example.com"):
            headers = {"origin": origin, "sec-fetch-site": "same-origin"}
            assert (await client.get("/api/tasks", headers=headers)).status_code == 200, origin
        app = {"origin": "https://app.example.com", "sec-fetch-site": "cross-site"}
        assert (await client.get("/api/tasks", headers=app)).status_code == 200
        assert (await client.get("/api/tasks", headers={"sec-fetch-site": "cross-site"})).status_code == 403
        assert (await client.get("/api/tasks", headers={**app, "origin": EVIL})).status_code == 403
