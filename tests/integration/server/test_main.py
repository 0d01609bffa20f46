"""A server's life: it serves until SIGTERM, and stops gracefully."""

from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from duetime_server import __main__ as main
from tests.support import processes


async def test_a_server_is_healthy_until_sigterm_and_then_ends(start: processes.Starter) -> None:
    server = await start.server()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", *main._SERVICES):
            checked = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert checked.status == health_pb2.HealthCheckResponse.SERVING
    server.terminate()
    assert await server.ended() == 0
    assert [event for line in server.log for event in ("stopping", "stopped") if f"event={event}" in line] == [
        "stopping",
        "stopped",
    ]


async def test_a_second_server_on_a_used_port_exits_with_the_name_of_its_setting(start: processes.Starter) -> None:
    server = await start.server()
    with pytest.raises(AssertionError, match="DUETIME_LISTEN: cannot listen on"):
        await start.server(address=server.address)
