"""Receiving wakeups of many queues: one poll for all, and only those of one's own."""

import asyncio
import contextlib
import datetime
import gc
from collections.abc import AsyncIterator
from typing import cast

import arq
import pytest
import pytest_asyncio
import redis.asyncio

from duetime_core.model import namespace
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import names, wakeup
from duetime_worker import runner as runners
from duetime_worker import wakeup_receiver

SECONDS = 20
POLLED = 50
_NOISE = 5


class Polled:
    """What a wakeup receiver needs of a runner: it has a free slot, and notes which queues it is to poll."""

    def __init__(self) -> None:
        self.free_slots = 1
        self.queues: asyncio.Queue[str] = asyncio.Queue()

    def poll(self, queue: str) -> None:
        """Notes that a wakeup of this queue came."""
        self.queues.put_nowait(queue)


@pytest_asyncio.fixture
async def client(redis_url: str) -> AsyncIterator[redis_client.Client]:
    client = redis_client.connect(redis_url)
    yield client
    await client.aclose(close_connection_pool=True)


@contextlib.asynccontextmanager
async def receiving(client: redis_client.Client, *queues: str) -> AsyncIterator[Polled]:
    polled = Polled()
    receiving = asyncio.create_task(wakeup_receiver.receive(client, cast("runners.Runner", polled), queues))
    try:
        yield polled
    finally:
        await background.end([receiving])


async def arm(client: redis_client.Client, *queues: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    wakeups = [wakeup.Wakeup(namespace.DEFAULT, queue, wakeup.slot_of(now), now) for queue in queues]
    await client.transaction(lambda transaction: wakeup.enqueue(wakeups, client.names, transaction))


async def waiting(client: redis_client.Client, queue: str) -> int:
    return int(await client.zcard(names.Names().wakeups(namespace.DEFAULT, queue)))


async def polls(polled: Polled, count: int) -> list[str]:
    async with asyncio.timeout(SECONDS):
        return sorted([await polled.queues.get() for _ in range(count)])


async def test_wakeups_of_all_served_queues_are_taken_and_no_others(client: redis_client.Client) -> None:
    queues = [f"queue-{number:03}" for number in range(100)]
    async with receiving(client, *queues) as polled:
        await arm(client, "of-another-worker", *queues)
        assert await polls(polled, 100) == queues
        async with asyncio.timeout(SECONDS):
            while await client.keys("arq:in-progress:*"):  # noqa: ASYNC110 - Redis has no event for it
                await asyncio.sleep(0.01)
        assert [await waiting(client, queue) for queue in queues] == [0] * 100
        assert await waiting(client, "of-another-worker") == 1
        assert polled.queues.empty()


async def test_each_wakeup_reaches_a_worker_that_serves_its_queue(client: redis_client.Client) -> None:
    async with receiving(client, "mail", "both") as first, receiving(client, "reports", "both") as second:
        for _ in range(10):
            await arm(client, "mail", "reports")
            assert (await polls(first, 1), await polls(second, 1)) == (["mail"], ["reports"])
        assert first.queues.empty()
        assert second.queues.empty()


@pytest.mark.parametrize("count", [1, 100])
async def test_redis_is_polled_once_for_all_queues(client: redis_client.Client, redis_url: str, count: int) -> None:
    sent = 0
    async with (
        redis.asyncio.Redis.from_url(redis_url) as watching,
        watching.monitor() as monitor,
        receiving(client, *(f"queue-{number}" for number in range(count))),
        asyncio.timeout(SECONDS),
    ):
        began = asyncio.get_running_loop().time()
        while sent < POLLED:
            sent += (await monitor.next_command())["client_type"] != "lua"  # a script's own commands are not sent
        seconds = asyncio.get_running_loop().time() - began
    assert sent <= _NOISE * seconds / wakeup_receiver.POLL_SECONDS


async def test_a_worker_without_a_free_slot_leaves_wakeups_to_others(client: redis_client.Client) -> None:
    async with receiving(client, "mail") as busy:
        busy.free_slots = 0
        await arm(client, "mail")
        async with receiving(client, "mail") as free:
            assert await polls(free, 1) == ["mail"]
        assert busy.queues.empty()


async def test_a_lost_redis_is_logged_once_however_many_wakeups_were_being_taken(
    client: redis_client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 0

    async def lose_the_connection(*_: object) -> None:
        nonlocal failed
        failed += 1
        raise redis.exceptions.ConnectionError("lost")

    monkeypatch.setattr(arq.Worker, "run_job", lose_the_connection)
    unhandled: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, problem: unhandled.append(problem))
    queues = [f"queue-{number}" for number in range(20)]
    try:
        await arm(client, *queues)
        async with receiving(client, *queues), asyncio.timeout(SECONDS):
            while failed < len(queues):  # noqa: ASYNC110 - arq has no event for it
                await asyncio.sleep(0.01)
        gc.collect()  # asyncio reports an error that nobody asked for when its task is deleted
        assert unhandled == []
    finally:
        loop.set_exception_handler(None)


async def test_wakeups_are_received_again_after_redis_forgot_its_scripts(client: redis_client.Client) -> None:
    async with receiving(client, "mail") as polled:
        await arm(client, "mail")
        assert await polls(polled, 1) == ["mail"]
        await client.script_flush()
        await client.flushdb()
        await arm(client, "mail")
        assert await polls(polled, 1) == ["mail"]
