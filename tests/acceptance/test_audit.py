"""A flood of bad credentials through the edge leaves few audit events, which count every call."""

import asyncio
import pathlib
from typing import Any

import grpc
import grpc.aio
import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from duetime_core.model import access, api_key
from tests.acceptance import edges
from tests.support import audit, keys, processes

CALLS = 10_000
IN_FLIGHT = 100


async def test_ten_thousand_bad_credentials_are_few_events_that_count_them_all(
    engine: sqlalchemy_asyncio.AsyncEngine,
    start: processes.Starter,
    tmp_path: pathlib.Path,
    short_directory: pathlib.Path,
) -> None:
    known, _ = await keys.create(engine)
    viewer, _ = await keys.create(engine, api_key.Grant("see", access.Role.VIEWER))
    before = len(await audit.events(engine))
    server = await start.server(auth="keys", address=f"unix:{short_directory}/server.sock")
    attempts: list[Any] = [
        lambda _: f"Bearer {api_key.Token.create().write()}",  # an id and a secret that are made up
        lambda number: f"Bearer {number}",
        lambda _: f"Bearer {api_key.Token(known.key_id, api_key.Token.create().secret).write()}",
        lambda number: f"Basic {number}",
        lambda _: f"Bearer {viewer.write()}",
    ]

    async def attack(stub: Any, numbers: Any) -> None:
        for number in numbers:
            metadata = (
                ("authorization", attempts[number % len(attempts)](number)),
                ("x-duetime-peer", f"203.0.113.{number % 256}"),
                ("x-forwarded-for", f"203.0.113.{number % 256}"),
            )
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=1), metadata=metadata)

    async with edges.running(tmp_path, server.address) as rest:
        while (await rest.get("/healthz")).status_code != 200:
            pass
        async with grpc.aio.insecure_channel(f"127.0.0.1:{rest.base_url.port}") as channel:
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            numbers = iter(range(CALLS))
            await asyncio.gather(*(attack(stub, numbers) for _ in range(IN_FLIGHT)))
    server.terminate()
    assert await server.ended() == 0
    events = (await audit.events(engine))[before:]
    assert {(each.kind, each.actor, each.key_id, each.reason) for each in events} == {
        ("authentication_failed", None, None, "CREDENTIALS_INVALID"),
        ("authentication_failed", None, known.key_id, "CREDENTIALS_INVALID"),
        ("permission_denied", f"key:{viewer.key_id}", viewer.key_id, "PERMISSION_DENIED"),
    }
    assert {(each.address, each.method) for each in events} == {("127.0.0.1", "CancelTask")}
    assert sum(each.calls for each in events) == CALLS
    minutes = (max(each.timestamp for each in events) - min(each.first_timestamp for each in events)).seconds // 60
    assert len(events) <= 3 * (minutes + 2)
    written = str(events)
    assert not [secret for secret in (known.secret, viewer.secret) if secret in written or secret in str(server.log)]
