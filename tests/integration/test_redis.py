"""Connections to Redis."""

import asyncio

import pytest
import redis.exceptions

from duetime_core import redis as duetime_redis


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
