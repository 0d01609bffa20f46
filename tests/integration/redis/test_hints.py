"""Hints of changed tasks arrive again after the connection was lost or fell silent."""

import asyncio
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import redis.asyncio.client

from duetime_core.redis import client as redis_client
from duetime_core.redis import hints
from tests.support import relay

CHANNEL = "test:changes"
Publish = Callable[[str], Awaitable[object]]


@pytest_asyncio.fixture
async def between(redis_url: str) -> AsyncIterator[relay.Relay]:
    """A relay to Redis."""
    running = relay.Relay(urllib.parse.urlsplit(redis_url).port or 6379)
    await running.start()
    yield running
    await running.cut()


@pytest_asyncio.fixture
async def heard(redis_url: str, between: relay.Relay) -> AsyncIterator["asyncio.Queue[frozenset[int]]"]:
    """The hints that a listener behind the relay hears."""
    netloc = f"127.0.0.1:{between.port}"
    client = redis_client.connect(urllib.parse.urlsplit(redis_url)._replace(netloc=netloc).geturl())
    queue: asyncio.Queue[frozenset[int]] = asyncio.Queue()

    async def listen() -> None:
        async for task_ids in hints.listen(client, CHANNEL):
            queue.put_nowait(task_ids)

    listening = asyncio.create_task(listen())
    yield queue
    listening.cancel()
    await asyncio.wait([listening])
    await client.aclose(close_connection_pool=True)


@pytest_asyncio.fixture
async def publish(redis_url: str) -> AsyncIterator[Publish]:
    """Publishes past the relay."""
    client = redis_client.connect(redis_url)

    async def send(data: str) -> object:
        return await client.publish(CHANNEL, data)

    yield send
    await client.aclose(close_connection_pool=True)


async def hear(heard: "asyncio.Queue[frozenset[int]]", publish: Publish, task_id: int) -> None:
    """Publishes a hint until it is heard."""
    async with asyncio.timeout(20):
        while True:
            await publish(f"[{task_id}]")
            try:
                async with asyncio.timeout(0.05):
                    while await heard.get() != {task_id}:
                        pass
                    return
            except TimeoutError:
                continue


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks silent connections soon."""
    monkeypatch.setattr(hints, "_QUIET_SECONDS", 0.2)


@pytest.mark.usefixtures("quick")
async def test_hints_arrive_again_after_their_connection_fell_silent(
    between: relay.Relay, heard: "asyncio.Queue[frozenset[int]]", publish: Publish
) -> None:
    await hear(heard, publish, 1)
    between.silence()
    await hear(heard, publish, 2)


async def test_hints_arrive_again_after_their_connection_was_lost(
    between: relay.Relay, heard: "asyncio.Queue[frozenset[int]]", publish: Publish
) -> None:
    await hear(heard, publish, 1)
    await between.cut()
    await between.start()
    await hear(heard, publish, 2)


@pytest.mark.usefixtures("quick")
async def test_a_connection_without_hints_stays_as_long_as_redis_answers(
    between: relay.Relay, heard: "asyncio.Queue[frozenset[int]]", publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hear(heard, publish, 1)
    pings, connections = asyncio.Semaphore(0), set(between._connections)
    ping = redis.asyncio.client.PubSub.ping

    def note(subscription: redis.asyncio.client.PubSub) -> Awaitable[object]:
        pings.release()
        return ping(subscription)

    monkeypatch.setattr(redis.asyncio.client.PubSub, "ping", note)
    async with asyncio.timeout(20):
        for _ in range(4):
            await pings.acquire()
    assert between._connections == connections
    await hear(heard, publish, 2)
