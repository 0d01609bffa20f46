"""The client against a server that is killed, stopped and started again on the same address."""

import asyncio
import contextlib
import datetime
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import duetime_client
from tests.support import processes

LATER = datetime.timedelta(days=1)


async def kill(server: processes.Process) -> None:
    await server.kill()


async def stop(server: processes.Process) -> None:
    server.terminate()
    assert await server.ended() == 0


@contextlib.asynccontextmanager
async def versions_seen(
    client: duetime_client.AsyncClient, *, until: dict[int, int]
) -> AsyncIterator[dict[int, list[int]]]:
    """Watches all tasks from now on; at the end of the block, waits until each task has reached its version."""
    seen: dict[int, list[int]] = defaultdict(list)

    async def watch(events: duetime_client.AsyncWatch, arrived: asyncio.Event) -> None:
        async for event in events:
            seen[event.change.task_id].append(event.change.version)
            arrived.set()

    async with client.watch_all() as events, asyncio.timeout(60):
        arrived = asyncio.Event()
        watching = asyncio.create_task(watch(events, arrived))
        yield seen
        while any(not seen[task_id] or seen[task_id][-1] < version for task_id, version in until.items()):
            arrived.clear()
            await arrived.wait()
        watching.cancel()


async def test_watches_and_creates_survive_a_server_that_dies_and_one_that_stops(start: processes.Starter) -> None:
    server = await start.server()
    address = server.address
    versions: dict[int, int] = {}
    endings: list[Callable[[processes.Process], Awaitable[None]]] = [kill, stop]
    async with (
        duetime_client.AsyncClient(address) as client,
        versions_seen(client, until=versions) as seen,
    ):
        for end in endings:
            before = await client.create("N", LATER)
            await end(server)
            server = await start.server(listen=address)
            after = await client.create("N", LATER)
            await client.update(before, max_retries=1)
            versions |= {before: 2, after: 1}
    assert seen == {task_id: list(range(1, version + 1)) for task_id, version in versions.items()}


async def test_watch_of_a_task_resumes_on_another_server(start: processes.Starter) -> None:
    server = await start.server()
    async with duetime_client.AsyncClient(server.address) as client:
        task_id = await client.create("N", LATER)
        async with client.watch(task_id) as events:
            assert (await anext(events)).change.version == 1
            await server.kill()
            await start.server(listen=server.address)
            await client.cancel(task_id)
            assert [event.change.version async for event in events] == [2]


async def test_call_that_is_not_retried_raises_unavailable(start: processes.Starter) -> None:
    server = await start.server()
    async with duetime_client.AsyncClient(server.address) as client:
        task_id = await client.create("N", LATER)
        await server.kill()
        with pytest.raises(duetime_client.Unavailable, match=f"{server.address} cannot be reached"):
            await client.update(task_id, max_retries=1)
