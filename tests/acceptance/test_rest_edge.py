"""Requests that Envoy itself accepts or refuses, before they reach a server."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest

from tests.acceptance import refusals, requests
from tests.support import stacks

INVALID = grpc.StatusCode.INVALID_ARGUMENT


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
async def test_a_body_with_a_json_content_type_is_accepted(rest: httpx.AsyncClient, content_type: str) -> None:
    headers = {"content-type": content_type}
    response = await rest.post("/api/tasks", content=json.dumps(requests.as_json()), headers=headers)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "text/plain, application/json",
        "application/json, text/plain",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/grpc-web",
        "application/grpcx",
        "application/grpc;x",
        "",
        None,
    ],
)
async def test_a_body_with_another_content_type_is_refused_and_changes_nothing(
    rest: httpx.AsyncClient, queue: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    for method, path, body in (
        ("POST", "/api/tasks", requests.as_json(queue=queue)),
        ("POST", "/api/tasks:batchCreate", {"requests": [requests.as_json(queue=queue)]}),
        ("PATCH", f"/api/queues/{queue}", {"paused": True, "allow_missing": True}),
        ("POST", f"/api/queues/{queue}:pause", {}),
    ):
        response = await rest.request(method, path, content=json.dumps(body), headers=headers)
        assert response.status_code == 415, response.text
        refusal = refusals.over_rest(response)
        assert (refusal.code, refusal.reason) == (INVALID, "UNSUPPORTED_MEDIA_TYPE")
        assert (content_type or "Content-Type") in refusal.message
        assert "application/json" in refusal.message
    assert (await rest.get("/api/tasks", params={"queue": queue})).json()["tasks"] == []


async def test_a_compressed_body_is_refused(rest: httpx.AsyncClient) -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    response = await rest.post("/api/tasks", content=gzip.compress(b"{}"), headers=headers)
    assert response.status_code == 415
    assert refusals.over_rest(response).message == "Content-Encoding is 'gzip'; compressed bodies are not supported"


@pytest.mark.parametrize("verb", ["cancel", "retry"])
async def test_a_custom_verb_needs_no_body(rest: httpx.AsyncClient, verb: str, queue: str) -> None:
    task_id = (await rest.post("/api/tasks", json=requests.as_json(queue=queue))).json()["task_id"]
    if verb == "retry":
        await rest.post(f"/api/tasks/{task_id}:cancel")
    assert (await rest.post(f"/api/tasks/{task_id}:{verb}")).status_code == 200


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "Unexpected end of string"),
        (b"null", "the body must be a JSON object, such as"),
        (b'"text"', "the body must be a JSON object, such as"),
        (b" 5 ", "the body must be a JSON object, such as"),
        (b"[]", "the body must be a JSON object, such as"),
        (b'[{"name": "a"}]', "the body must be a JSON object, such as"),
        (b"{} {}", "Parsing terminated before end of input"),
        (b'{"task_data": {"a": NaN}}', "Unexpected token"),
        (b'{"task_data": {"a": 1e999}}', "Number exceeds the range of double"),
        (b'{"task_data": {"a": "\\ud800"}}', "Missing low surrogate"),
        (b"\x1f\x8b\x08\x00 compressed", "non UTF-8"),
    ],
)
async def test_a_body_that_is_not_a_json_object_is_refused(
    rest: httpx.AsyncClient, content: bytes, expected: str
) -> None:
    in_a_batch = b'{"requests": [%b]}' % content if content.startswith(b'{"') else content
    for path, body in (("/api/tasks", content), ("/api/tasks:batchCreate", in_a_batch)):
        response = await rest.post(path, content=body, headers=JSON)
        assert response.status_code == 400, response.text
        refusal = refusals.over_rest(response)
        assert (refusal.code, refusal.reason) == (INVALID, "MALFORMED_REQUEST")
        assert expected in refusal.message
        assert "\n" not in refusal.message


async def test_a_body_that_contradicts_the_path_is_refused_and_changes_nothing(rest: httpx.AsyncClient) -> None:
    one, other = [(await rest.post("/api/tasks", json=requests.as_json())).json()["task_id"] for _ in range(2)]
    response = await rest.put(f"/api/tasks/{one}", json={"task_id": other, "name": "changed"})
    assert response.status_code == 400
    assert "task_id" in refusals.over_rest(response).message
    for task_id in (one, other):
        assert (await rest.get(f"/api/tasks/{task_id}")).json()["version"] == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/tasks/1?task=2"),
        ("DELETE", "/api/tasks/1?force=true"),
        ("POST", "/api/tasks?dry_run=true"),
        ("GET", "/api/tasks/1/logs?order_by=version"),
        ("GET", "/api/tasks:watch?page_size=5"),
    ],
)
async def test_an_unknown_parameter_is_refused(rest: httpx.AsyncClient, method: str, path: str) -> None:
    response = await rest.request(method, path)
    assert response.status_code == 400
    refusal = refusals.over_rest(response)
    assert (refusal.code, refusal.reason) == (INVALID, "MALFORMED_REQUEST")
    assert path.partition("?")[2].partition("=")[0] in refusal.message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/tasks/1:explode"),
        ("GET", "/api"),
        ("GET", "/api//tasks"),
        ("GET", "/API/tasks"),
        ("GET", "/api/%74asks"),
        ("GET", "/healthz/"),
        ("GET", "/favicon.ico"),
        ("POST", "/duetime.v1.TaskService/GetTask"),
        ("POST", "/duetime.v1.TaskService/Nothing"),
    ],
)
async def test_an_unknown_route_or_method_is_named(rest: httpx.AsyncClient, method: str, path: str) -> None:
    response = await rest.request(method, path)
    assert response.status_code == 404
    refusal = refusals.over_rest(response)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "ROUTE_NOT_FOUND")
    assert refusal.message == f"{method} {path} is not a route of this API"


@pytest.mark.parametrize(
    ("request_text", "status", "reason"),
    [
        ("CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n", 403, "UPGRADE_NOT_ALLOWED"),
        (
            "CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\nContent-Type: application/json\r\n",
            403,
            "UPGRADE_NOT_ALLOWED",
        ),
        (
            "POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n",
            501,
            "MALFORMED_REQUEST",
        ),
    ],
)
async def test_unsupported_http_is_refused_and_is_not_an_internal_error(
    stack: stacks.Stack, request_text: str, status: int, reason: str
) -> None:
    reader, writer = await asyncio.open_connection(*stack.address.rsplit(":", 1))
    writer.write(f"{request_text}Connection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    answer = json.loads(body)
    assert answer["details"][0]["reason"] == reason
    assert answer["code"] != grpc.StatusCode.UNAVAILABLE.value[0], "nothing is gained by trying again"


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """Yields a body without a declared length."""
    yield b'{"name": "noop", "execution_time": "2100-01-01T00:00:00Z", "task_data": {"a": "'
    for _ in range(size // 65536):
        yield b"x" * 65536
    yield b'"}}'


async def test_a_body_above_1_mib_is_refused_even_in_chunks(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/api/tasks", content=in_pieces(4 * 1024 * 1024), headers=JSON)
    assert response.status_code == 413
    refusal = refusals.over_rest(response)
    assert (refusal.code, refusal.reason) == (INVALID, "REQUEST_TOO_LARGE")
    assert refusal.message == "the request is too large: the maximum is 1 MiB"
    assert (await rest.post("/api/tasks", content=in_pieces(65536), headers=JSON)).status_code == 200


async def test_the_server_accepts_all_headers_that_the_edge_accepts(rest: httpx.AsyncClient) -> None:
    for size in (9_000, 16_000, 50_000):
        response = await rest.get("/api/tasks", headers={"cookie": "a=" + "x" * size}, params={"page_size": 1})
        assert response.status_code == 200, response.text
        response = await rest.get("/api/tasks", params={"page_token": "A" * size})
        assert refusals.over_rest(response).fields == {
            "page_token": "must be a value that the server returned, unchanged"
        }


async def test_large_headers_are_refused(rest: httpx.AsyncClient) -> None:
    response = await rest.get("/api/tasks", headers={"x-large": "x" * 70_000})
    assert response.status_code == 431
    assert refusals.over_rest(response).reason == "MALFORMED_REQUEST"


async def test_a_plus_in_a_query_is_a_space_and_a_time_zone_needs_2b(rest: httpx.AsyncClient, queue: str) -> None:
    await rest.post("/api/tasks", json=requests.as_json(queue=queue, name="At Noon"))
    assert len((await rest.get(f"/api/tasks?queue={queue}&name=At+Noon")).json()["tasks"]) == 1
    zone = f"/api/tasks?queue={queue}&due_from=2020-01-01T00:00:00"
    assert len((await rest.get(f"{zone}%2B01:00")).json()["tasks"]) == 1
    response = await rest.get(f"{zone}+01:00")
    assert response.status_code == 400
    assert refusals.over_rest(response).message.startswith("due_from: ")
