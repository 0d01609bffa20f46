"""The address of a caller, as the edge sees it: what a caller writes of itself never counts."""

import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import httpx
import pytest
import pytest_asyncio
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from duetime_core.store.api_keys import read as key_read
from tests.acceptance import edges
from tests.support import keys, processes

FORGED = "203.0.113.9"
FORGERIES: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "the header": [("x-duetime-peer", FORGED)],
    "it twice": [("x-duetime-peer", FORGED), ("x-duetime-peer", FORGED)],
    "an empty one": [("x-duetime-peer", "")],
    "x-forwarded-for": [("x-forwarded-for", FORGED), ("forwarded", f"for={FORGED}"), ("x-real-ip", FORGED)],
    "all": [("x-forwarded-for", FORGED), ("x-envoy-external-address", FORGED), ("x-duetime-peer", FORGED)],
}


class Server:
    """A server that requires keys, which notes their uses when it stops."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine, process: processes.Process) -> None:
        self._engine = engine
        self._process = process
        self._keys: dict[str, str] = {}
        self.address = process.address

    async def headers(self, case: str, forgery: str) -> list[tuple[str, str]]:
        """Returns the headers of a call with a forgery and a key of its own."""
        token, _ = await keys.create(self._engine)
        self._keys[case] = token.key_id
        return [("authorization", f"Bearer {token.write()}"), *FORGERIES[forgery]]

    async def origins(self) -> dict[str, str | None]:
        """Stops the server, and returns from where each key was used, by the case."""
        self._process.terminate()
        assert await self._process.ended() == 0
        return {case: (await key_read.get(self._engine, key_id)).last_used_from for case, key_id in self._keys.items()}


@pytest_asyncio.fixture
async def server(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, short_directory: pathlib.Path
) -> AsyncIterator[Server]:
    """A server at a unix socket, as in a stack."""
    yield Server(engine, await start.server(auth="keys", address=f"unix:{short_directory}/server.sock"))


async def call_grpc(address: str, headers: list[tuple[str, str]]) -> None:
    async with grpc.aio.insecure_channel(address, options=[("grpc.default_authority", "localhost")]) as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        await stub.ListTasks(task_service_pb2.ListTasksRequest(), metadata=headers, wait_for_ready=True)


async def until_healthy(rest: httpx.AsyncClient) -> None:
    while (await rest.get("/healthz")).status_code != 200:
        pass


@contextlib.asynccontextmanager
async def edge_at(
    directory: pathlib.Path, server: str, listener: dict[str, Any], **transport: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Runs an Envoy that listens at another address, and yields an HTTP client of it."""

    def listen(bootstrap: dict[str, Any]) -> None:
        bootstrap["static_resources"]["listeners"][0]["address"] = listener

    async with edges.running(directory, server, adjust=listen):
        way = httpx.AsyncHTTPTransport(retries=5, **transport)
        port = listener.get("socket_address", {}).get("port_value", 80)
        base_url = f"http://localhost:{port}" if transport else f"http://[::1]:{port}"
        async with httpx.AsyncClient(transport=way, base_url=base_url, timeout=30) as rest:
            await until_healthy(rest)
            yield rest


async def test_no_header_of_a_caller_counts_over_rest_grpc_and_grpc_web(server: Server, tmp_path: pathlib.Path) -> None:
    async with edges.running(tmp_path, server.address) as rest:
        await until_healthy(rest)
        for forgery in FORGERIES:
            response = await rest.get("/api/tasks", headers=await server.headers(f"REST, {forgery}", forgery))
            assert response.status_code == 200, response.text
            headers = await server.headers(f"gRPC, {forgery}", forgery)
            await call_grpc(f"127.0.0.1:{rest.base_url.port}", headers)
            headers = await server.headers(f"watch, {forgery}", forgery)
            async with rest.stream("GET", "/api/tasks:watch", headers=headers) as stream:
                assert stream.status_code == 200
                await anext(stream.aiter_lines())
            headers = await server.headers(f"web, {forgery}", forgery)
            path = "/duetime.v1.TaskService/ListTasks"
            body = b"\0\0\0\0\0"
            kind = ("content-type", "application/grpc-web+proto")
            await rest.post(path, headers=[*headers, kind], content=body)
    found = await server.origins()
    assert {case: origin for case, origin in found.items() if origin != "127.0.0.1" and "web" not in case} == {}
    assert {origin for case, origin in found.items() if "web" in case} <= {None, "127.0.0.1"}


async def test_an_ipv6_address_is_noted(server: Server, tmp_path: pathlib.Path) -> None:
    port = processes.free_port()
    listener = {"socket_address": {"address": "::1", "port_value": port}}
    async with edge_at(tmp_path, server.address, listener) as rest:
        for forgery in FORGERIES:
            assert (await rest.get("/api/tasks", headers=await server.headers(forgery, forgery))).status_code == 200
        await call_grpc(f"[::1]:{port}", await server.headers("gRPC", "all"))
    assert set((await server.origins()).values()) == {"::1"}


async def test_a_caller_at_a_unix_socket_of_the_edge_has_no_address_to_forge(
    server: Server, tmp_path: pathlib.Path, short_directory: pathlib.Path
) -> None:
    socket = short_directory / "edge.sock"
    async with edge_at(tmp_path, server.address, {"pipe": {"path": str(socket)}}, uds=str(socket)) as rest:
        for forgery in FORGERIES:
            assert (await rest.get("/api/tasks", headers=await server.headers(forgery, forgery))).status_code == 200
        await call_grpc(f"unix:{socket}", await server.headers("gRPC", "all"))
    assert set((await server.origins()).values()) == {"unix"}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_a_server_that_is_called_directly_notes_the_connection(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, host: str
) -> None:
    server = Server(engine, await start.server(auth="keys", address=f"{host}:{processes.free_port()}"))
    for forgery in FORGERIES:
        await call_grpc(server.address, await server.headers(forgery, forgery))
    assert set((await server.origins()).values()) == {host.strip("[]")}


async def test_a_server_at_a_port_takes_the_word_of_the_edges_in_its_settings(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    server = Server(engine, await start.server(auth="keys", edges="127.0.0.1"))
    listener = {"socket_address": {"address": "::1", "port_value": processes.free_port()}}
    async with edge_at(tmp_path, server.address, listener) as rest:
        for forgery in FORGERIES:
            assert (await rest.get("/api/tasks", headers=await server.headers(forgery, forgery))).status_code == 200
    assert set((await server.origins()).values()) == {"::1"}
