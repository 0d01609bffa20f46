"""Every route of the REST API needs one valid key of a role that may call it."""

import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
import pytest_asyncio
from google.api import annotations_pb2

from duetime_core.model.access import Role
from duetime_server.access import rules
from tests.acceptance import edges, refusals
from tests.support import fields, issuers, principals


class Route(NamedTuple):
    verb: str
    path: str
    rpc: str


def routes() -> Iterator[Route]:
    for rpc, method in principals.METHODS.items():
        http = method.GetOptions().Extensions[annotations_pb2.http]
        for binding in (http, *http.additional_bindings) if method.name in fields.METHODS else ():
            verb = binding.WhichOneof("pattern")
            path = getattr(binding, verb).replace("{task_id}", "1").replace("{schedule_id}", "1")
            yield Route(verb.upper(), path.replace("{name}", "mail").replace("{key_id}", "3mJr7AoUXx2W"), rpc)


ROUTES = list(routes())


class Edge(NamedTuple):
    rest: httpx.AsyncClient
    server: principals.Recorder

    async def call(self, route: Route, headers: list[tuple[str, str]]) -> httpx.Response:
        body: dict[str, Any] | None = None if route.verb in ("GET", "DELETE") else {}
        return await self.rest.request(route.verb, route.path, headers=headers, json=body)


@pytest_asyncio.fixture
async def edge(tmp_path: pathlib.Path) -> AsyncIterator[Edge]:
    """An Envoy in front of a server that knows a token of each role."""
    async with principals.serving() as server, edges.running(tmp_path, server.address) as rest:
        while (await rest.get("/healthz")).status_code != 200:
            pass
        server.calls.clear()
        yield Edge(rest, server)


@pytest.mark.parametrize("headers", principals.INVALID.values(), ids=principals.INVALID)
async def test_every_route_needs_one_valid_key(edge: Edge, headers: list[tuple[str, str]]) -> None:
    for route in ROUTES:
        response = await edge.call(route, headers)
        assert response.status_code == 401, route
        assert response.headers["www-authenticate"] == "Bearer"
        refusal = refusals.over_rest(response)
        assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
        assert refusal.reason == ("CREDENTIALS_INVALID" if headers else "CREDENTIALS_MISSING")
        assert principals.SECRET not in response.text
    assert not [path for path, _ in edge.server.calls if path.startswith("/duetime.")]


@pytest.mark.parametrize("role", Role)
async def test_a_role_may_call_exactly_its_routes(edge: Edge, role: Role) -> None:
    for route in ROUTES:
        response = await edge.call(route, [("authorization", f"Bearer {role}")])
        if rules.RULES[route.rpc].allows(role):
            assert response.status_code == 200, route
        else:
            name = route.rpc.rpartition("/")[2]
            refusal = refusals.over_rest(response)
            assert (response.status_code, refusal.reason) == (403, "PERMISSION_DENIED"), route
            assert refusal.metadata == {"role": role, "method": name}


@pytest.mark.parametrize("parameter", ["api_key", "API_KEY", "apikey", "access_token", "name"])
async def test_a_key_in_a_url_is_refused_and_not_quoted(edge: Edge, parameter: str) -> None:
    key = f"dt_3mJr7AoUXx2W_{principals.SECRET}{'x' * 43}_123456"
    url = f"/api/tasks?page_size=1&{parameter}={key}"
    response = await edge.rest.get(url, headers={"authorization": "Bearer admin"})
    refusal = refusals.over_rest(response)
    assert (response.status_code, refusal.reason) == (401, "CREDENTIALS_INVALID")
    assert f"'{parameter}='" in refusal.message
    assert principals.SECRET not in response.text


async def test_an_access_token_in_a_url_is_refused_and_not_quoted(edge: Edge) -> None:
    token = issuers.Issuer().token(secret=principals.SECRET)
    for url in (f"/api/tasks?name={token}", f"/api/tasks?page_size=1&token={token}"):
        response = await edge.rest.get(url, headers={"authorization": "Bearer admin"})
        assert (response.status_code, refusals.over_rest(response).reason) == (401, "CREDENTIALS_INVALID")
        assert not [part for part in token.split(".") if part in response.text]
