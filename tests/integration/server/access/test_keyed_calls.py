"""Servers that demand API keys, as processes: a key works everywhere, and nowhere once it is revoked."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import (
    key_pb2,
    key_service_pb2,
    key_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
)
from duetime_core.model import api_key
from duetime_core.store.api_keys import read as key_read
from duetime_server.access import keys as authenticator
from tests.support import keys, processes


def bearer(token: api_key.Token) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token.write()}"),)


async def test_a_key_that_one_server_revokes_is_refused_by_another_at_once(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter
) -> None:
    admin, caller = (await keys.create(engine, keys.ADMIN))[0], (await keys.create(engine))[0]
    one, other = [await start.server(auth="keys") for _ in range(2)]
    async with grpc.aio.insecure_channel(one.address) as first, grpc.aio.insecure_channel(other.address) as second:
        managing: Any = key_service_pb2_grpc.KeyServiceStub(first)
        tasks: Any = task_service_pb2_grpc.TaskServiceStub(second)
        request = task_service_pb2.ListTasksRequest()
        with pytest.raises(grpc.aio.AioRpcError) as without:
            await tasks.ListTasks(request)
        await tasks.ListTasks(request, metadata=bearer(caller))
        revocation = key_service_pb2.RevokeKeyRequest(key_id=caller.key_id)
        with pytest.raises(grpc.aio.AioRpcError) as not_admin:
            await managing.RevokeKey(revocation, metadata=bearer(caller))
        await tasks.ListTasks(request, metadata=bearer(caller))
        assert not (await managing.RevokeKey(revocation, metadata=bearer(admin))).in_force

        async def until_refused() -> None:
            async with asyncio.timeout(authenticator.FRESH_SECONDS - 1):
                while True:
                    await tasks.ListTasks(request, metadata=bearer(caller))

        with pytest.raises(grpc.aio.AioRpcError) as revoked:
            await until_refused()
    codes = [each.value.code() for each in (without, not_admin, revoked)]
    assert codes == [
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    ]
    for server in (one, other):
        assert not [line for line in server.log if caller.secret in line or admin.secret in line]


async def test_a_server_that_stops_notes_the_last_uses(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter
) -> None:
    admin, _ = await keys.create(engine, keys.ADMIN)
    server = await start.server(auth="keys")
    async with grpc.aio.insecure_channel(server.address) as channel:
        managing: Any = key_service_pb2_grpc.KeyServiceStub(channel)
        made = await managing.CreateKey(
            key_service_pb2.CreateKeyRequest(name="ci", role=key_pb2.ApiKey.Role.viewer), metadata=bearer(admin)
        )
    assert made.key.created_by == f"key:{admin.key_id}"
    server.terminate()
    assert await server.ended() == 0
    assert (await key_read.get(engine, admin.key_id)).last_used_at is not None


@pytest.mark.parametrize("method", ["TaskService/CreateTask", "TaskService/WatchTasks", "NoService/Nothing"])
async def test_a_call_without_a_key_is_refused_before_its_request_is_sent(
    start: processes.Starter, method: str
) -> None:
    server = await start.server(auth="keys")
    async with grpc.aio.insecure_channel(server.address) as channel:
        call: Any = channel.stream_stream(f"/duetime.v1.{method}")()  # sends the headers, and then nothing
        async with asyncio.timeout(20):
            code = await call.code()
    expected = grpc.StatusCode.UNIMPLEMENTED if "NoService" in method else grpc.StatusCode.UNAUTHENTICATED
    assert code is expected
