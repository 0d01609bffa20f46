"""Each path allows its methods of the contract, and refuses others with the allowed ones."""

import re

import grpc
import httpx
import pytest
from google.api import annotations_pb2

from tests.acceptance import refusals, requests
from tests.support import fields

METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")


def contract() -> dict[str, set[str]]:
    """Returns the methods of each path, read from the contract's annotations."""
    paths: dict[str, set[str]] = {}
    for rpc in fields.METHODS.values():
        http = rpc.GetOptions().Extensions[annotations_pb2.http]
        for binding in (http, *http.additional_bindings):
            method = next(method for method in METHODS if binding.HasField(method.lower()))
            path = re.sub(r"{\w+}", "4294967295", getattr(binding, method.lower()))
            paths.setdefault(path, set()).add(method)
            if rpc.server_streaming:
                paths[path].add("stream")
    return paths


PATHS = contract()


@pytest.mark.parametrize("path", sorted([*PATHS, "/", "/healthz"]))
async def test_a_method_that_a_path_does_not_allow_is_refused_with_the_allowed_ones(
    rest: httpx.AsyncClient, path: str
) -> None:
    taken = PATHS.get(path, {"GET"})
    allowed = taken - {"stream"} | ({"HEAD"} if "GET" in taken and "stream" not in taken else set())
    for method in {*METHODS, "HEAD", "OPTIONS", "TRACE", "PROPFIND"} - allowed:
        for address in (path, f"{path}?x=1"):
            response = await rest.request(method, address)
            assert response.status_code == 405, (method, address)
            assert set(response.headers["allow"].split(", ")) == allowed
            if method != "HEAD":
                refusal = refusals.over_rest(response)
                assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_ALLOWED")
                assert refusal.message == f"{method} is not allowed on {path}; allowed: {response.headers['allow']}"


@pytest.mark.parametrize(
    "path", sorted(path for path, taken in PATHS.items() if "GET" in taken and "stream" not in taken)
)
async def test_head_answers_like_get_without_the_body(rest: httpx.AsyncClient, path: str) -> None:
    got, head = await rest.get(path), await rest.head(path)
    assert head.content == b""
    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"] == "application/json"
    assert int(head.headers["content-length"]) > 0
    assert (await rest.get("/healthz")).status_code == 200  # the connection is still usable


async def test_head_of_a_large_response_has_no_body(rest: httpx.AsyncClient, queue: str) -> None:
    data = {"text": "x" * 200_000}
    for _ in range(4):
        await rest.post("/api/tasks", json=requests.as_json(queue=queue, task_data=data))
    response = await rest.head("/api/tasks", params={"queue": queue})
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 4 * 200_000
