"""A server's life: it serves until SIGTERM, and stops gracefully."""

import datetime
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import duetime_client
from duetime_server import __main__ as main
from tests.support import processes


async def test_a_server_is_healthy_until_sigterm_and_then_ends(start: processes.Starter) -> None:
    server = await start.server()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", *main._SERVICES):
            checked = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert checked.status == health_pb2.HealthCheckResponse.SERVING
    await server.wait_for_log('event="no authentication: anyone who reaches this server may do everything" auth=open')
    server.terminate()
    assert await server.ended() == 0
    assert [event for line in server.log for event in ("stopping", "stopped") if f"event={event}" in line] == [
        "stopping",
        "stopped",
    ]


async def test_by_default_a_server_is_healthy_and_refuses_calls_without_a_valid_key(
    start: processes.Starter,
) -> None:
    server = await start.server(auth=None)
    assert "no authentication" not in str(server.log)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    for key, reason in (("", "CREDENTIALS_MISSING"), ("dt_planted_hunter2", "CREDENTIALS_INVALID")):
        async with duetime_client.AsyncClient(server.address, api_key=key) as client:
            with pytest.raises(duetime_client.Unauthenticated) as caught:
                await client.create("noop", datetime.timedelta(0))
            assert caught.value.reason == reason
    assert "hunter2" not in str(server.log)


async def test_a_second_server_on_a_used_port_exits_with_the_name_of_its_setting(start: processes.Starter) -> None:
    server = await start.server()
    with pytest.raises(AssertionError, match="DUETIME_LISTEN: cannot listen on"):
        await start.server(address=server.address)
