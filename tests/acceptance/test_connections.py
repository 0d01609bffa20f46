"""Limits of connections: their duration and number; watches survive both."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx_sse
import pytest

import duetime_client
from tests.acceptance import edges, requests
from tests.support import processes

SECONDS = 1


def _options(bootstrap: dict[str, Any]) -> Any:
    (manager,) = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    return manager["typed_config"]["common_http_protocol_options"]


def short_silence(bootstrap: dict[str, Any]) -> None:
    assert _options(bootstrap)["idle_timeout"] == "300s"
    _options(bootstrap)["idle_timeout"] = f"{SECONDS}s"


def short_life(bootstrap: dict[str, Any]) -> None:
    assert _options(bootstrap)["max_connection_duration"] == "3600s"
    _options(bootstrap)["max_connection_duration"] = f"{SECONDS}s"
    (manager,) = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    manager["typed_config"]["drain_timeout"] = "0.2s"


def few_connections(bootstrap: dict[str, Any]) -> None:
    monitor = bootstrap["overload_manager"]["resource_monitors"][0]["typed_config"]
    assert monitor["max_active_downstream_connections"] == 20_000
    monitor["max_active_downstream_connections"] = 20


def few_watches(bootstrap: dict[str, Any]) -> None:
    (cluster,) = bootstrap["static_resources"]["clusters"]
    thresholds = {each.get("priority"): each for each in cluster["circuit_breakers"]["thresholds"]}
    thresholds["HIGH"]["max_requests"] = 3


@contextlib.asynccontextmanager
async def silent(client: httpx.AsyncClient, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Opens idle connections."""
    async with contextlib.AsyncExitStack() as stack:
        readers = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
            stack.callback(writer.close)
            readers.append(reader)
        yield readers


async def create(client: httpx.AsyncClient, queue: str) -> int:
    task_id: int = (await client.post("/api/tasks", json=requests.as_json(queue=queue))).json()["task_id"]
    return task_id


async def test_an_idle_connection_is_closed(start: processes.Starter, tmp_path: pathlib.Path) -> None:
    server = await start.server()
    async with (
        edges.running(tmp_path, server.address, adjust=short_silence) as client,
        silent(client, 3) as readers,
        asyncio.timeout(20),
    ):
        assert [await reader.read() for reader in readers] == [b""] * 3


async def test_idle_connections_are_closed_to_make_room_for_others(
    start: processes.Starter, tmp_path: pathlib.Path, queue: str
) -> None:
    server = await start.server()
    async with (
        edges.running(tmp_path, server.address, adjust=few_connections) as client,
        httpx_sse.aconnect_sse(client, "GET", "/api/tasks:watch", params={"queue": queue}) as source,
    ):
        events = source.aiter_sse()
        await anext(events)
        async with silent(client, 19) as readers, asyncio.timeout(60):
            assert [await reader.read() for reader in readers] == [b""] * 19
        task_id = await create(client, queue)
        assert json.loads((await anext(events)).data)["change"]["task_id"] == task_id


async def test_watches_continue_after_their_connection_accepts_no_more_requests(
    start: processes.Starter, tmp_path: pathlib.Path, queue: str
) -> None:
    server = await start.server()
    async with (
        edges.running(tmp_path, server.address, adjust=short_life) as client,
        duetime_client.AsyncClient(f"127.0.0.1:{client.base_url.port}") as caller,
        httpx_sse.aconnect_sse(client, "GET", "/api/tasks:watch", params={"queue": queue}) as source,
        caller.watch_all(queue=queue) as watched,  # which has begun before the first task is created
    ):
        closed: list[httpx.Response] = []

        async def note(response: httpx.Response) -> None:
            if response.headers.get("connection") == "close":
                closed.append(response)

        client.event_hooks = {"response": [note]}
        events = source.aiter_sse()
        assert "heartbeat" in (await anext(events)).data
        clock = asyncio.get_running_loop().time
        until = clock() + 6 * SECONDS
        task_ids, by_rest, by_grpc = [], [], []
        following = asyncio.create_task(anext(watched))
        while clock() < until or not closed:
            # Each call finds its connection at a different age.
            task_ids.append(await create(client, queue))
            assert await caller.status(task_ids[-1]) == "pending"
            by_rest.append(json.loads((await anext(events)).data)["change"]["task_id"])
            by_grpc.append((await following).change.task_id)
            following = asyncio.create_task(anext(watched))
        following.cancel()
        assert by_rest == task_ids
        assert by_grpc == task_ids


async def test_watches_have_a_limit_of_their_own(start: processes.Starter, tmp_path: pathlib.Path, queue: str) -> None:
    server = await start.server()
    async with (
        edges.running(tmp_path, server.address, adjust=few_watches) as client,
        contextlib.AsyncExitStack() as held,
    ):
        for _ in range(3):
            response = await held.enter_async_context(client.stream("GET", "/api/tasks:watch"))
            assert response.status_code == 200
        response = await client.get("/api/tasks:watch")
        assert (response.status_code, response.json()["details"][0]["reason"]) == (503, "SERVER_UNAVAILABLE")
        assert await create(client, queue)


@pytest.mark.parametrize("path", ["/api/tasks", "/api/tasks:watch"])
async def test_invalid_http_is_answered_with_a_plain_error(rest: httpx.AsyncClient, path: str) -> None:
    for request, message in (
        (f"GET {path} HTTP/1.0\r\n\r\n", "HTTP/1.0 is not supported; use HTTP/1.1 or HTTP/2"),
        (f"GET {path} HTTP/1.1\r\n\r\n", "the request is not valid HTTP: missing_host_header"),
        ("GARBAGE\r\n\r\n", "the request is not valid HTTP: http1.codec_error"),
        (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "protocol upgrades and CONNECT are not supported",
        ),
        (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {'x' * 70_000}\r\n\r\n",
            "the request's path and headers are too large: the maximum is 60 KiB",
        ),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", rest.base_url.port)
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.decode().splitlines() if line.startswith("content-length"))
        body = json.loads(await reader.readexactly(int(length.partition(":")[2])))
        writer.close()
        assert body["message"] == message
        assert body["details"][0]["reason"]
