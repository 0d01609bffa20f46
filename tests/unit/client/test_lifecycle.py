"""Clients that are opened late, closed early, forgotten, or used in another event loop or process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent import futures
from typing import Any

import pytest

import duetime_client
from tests.support import answers

CLOSED = "the client is closed; create another one"


async def test_client_without_a_with_block_opens_at_its_first_use() -> None:
    async with answers.served(answers.PENDING) as server:
        client = duetime_client.AsyncClient(server.address)
        assert await client.status(1) is duetime_client.Status.PENDING
        await client.aclose()


async def test_synchronous_client_without_a_with_block_opens_at_its_first_use() -> None:
    def use(address: str) -> duetime_client.Status:
        client = duetime_client.Client(address)
        status = client.status(1)
        client.close()
        return status

    async with answers.served(answers.PENDING) as server:
        assert await asyncio.to_thread(use, server.address) is duetime_client.Status.PENDING


@pytest.mark.parametrize("was_used", [False, True])
async def test_every_method_of_a_closed_client_raises(was_used: bool) -> None:
    async with answers.served(answers.PENDING) as server:
        client = duetime_client.AsyncClient(server.address)
        if was_used:
            await client.status(1)
        await client.aclose()
        await client.aclose()
    with pytest.raises(RuntimeError, match=CLOSED):
        await client.status(1)
    with pytest.raises(RuntimeError, match=CLOSED):
        await anext(client.list())
    with pytest.raises(RuntimeError, match=CLOSED):
        await anext(client.watch(1))
    with pytest.raises(RuntimeError, match=CLOSED):
        async with client:
            pass


def test_every_method_of_a_closed_synchronous_client_raises() -> None:
    with duetime_client.Client("127.0.0.1:1") as client:
        pass
    client.close()
    requests: list[Any] = [lambda: client.status(1), lambda: next(client.list()), lambda: next(client.watch(1))]
    for call in [*requests, client.__enter__]:
        with pytest.raises(RuntimeError, match=CLOSED):
            call()


async def test_closing_a_client_ends_its_running_call() -> None:
    async with answers.Mute() as mute:
        client = duetime_client.AsyncClient(mute.address)
        calling = asyncio.create_task(client.status(1))
        await mute.called.wait()
        await client.aclose()
        with pytest.raises(RuntimeError, match=CLOSED):
            await calling


async def test_closing_a_client_ends_a_running_call_of_another_thread() -> None:
    async with answers.Mute() as mute:
        client = duetime_client.Client(mute.address)
        calling = asyncio.create_task(asyncio.to_thread(client.status, 1))
        await mute.called.wait()
        await asyncio.to_thread(client.close)
        with pytest.raises(RuntimeError, match=CLOSED):
            await calling


async def test_watch_ends_with_its_client() -> None:
    async with answers.Mute() as mute:
        client = duetime_client.AsyncClient(mute.address)
        watching = asyncio.create_task(anext(client.watch(1)))
        await mute.called.wait()
        await client.aclose()
        with pytest.raises(RuntimeError, match=CLOSED):
            await watching


async def test_synchronous_watch_ends_with_its_client() -> None:
    async with answers.Mute() as mute:
        client = duetime_client.Client(mute.address)
        watching = asyncio.create_task(asyncio.to_thread(lambda: list(client.watch(1))))
        await mute.called.wait()
        await asyncio.to_thread(client.close)
        with pytest.raises(RuntimeError, match=CLOSED):
            await watching


async def test_task_that_is_cancelled_during_a_call_is_cancelled() -> None:
    async with answers.Mute() as mute, duetime_client.AsyncClient(mute.address) as client:
        calling = asyncio.create_task(client.status(1))
        await mute.called.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling


async def test_client_raises_in_another_event_loop_and_still_works_in_its_own() -> None:
    async def elsewhere() -> None:
        await client.status(1)

    async with answers.served(answers.PENDING) as server, duetime_client.AsyncClient(server.address) as client:
        await client.status(1)
        with pytest.raises(RuntimeError, match="opened in another event loop; create one for each"):
            await asyncio.to_thread(asyncio.run, elsewhere())
        assert await client.status(1) is duetime_client.Status.PENDING


async def test_threads_share_a_synchronous_client_that_they_open_at_once() -> None:
    def status(client: duetime_client.Client, start: threading.Barrier) -> duetime_client.Status:
        start.wait()
        return client.status(1)

    async with answers.served(answers.PENDING) as server:
        client, start = duetime_client.Client(server.address), threading.Barrier(8)
        with futures.ThreadPoolExecutor(8) as pool:
            running = [asyncio.wrap_future(pool.submit(status, client, start)) for _ in range(8)]
            assert set(await asyncio.gather(*running)) == {duetime_client.Status.PENDING}
        client.close()


FORKED = """
import os, sys, duetime_client
client = duetime_client.Client(sys.argv[1])
client.status(1)
if (child := os.fork()) == 0:
    try:
        client.status(1)
    except RuntimeError as error:
        os._exit(7 if "before this process was forked" in str(error) else 8)
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client.status(1))
"""
FORGOTTEN = {
    "synchronous": "import sys, duetime_client; print(duetime_client.Client(sys.argv[1]).status(1))",
    "a global": "import sys, duetime_client; c = duetime_client.Client(sys.argv[1]); print(c.status(1))",
    "asynchronous": """
import asyncio, sys, duetime_client
async def main():
    client = duetime_client.AsyncClient(sys.argv[1])
    print(await client.status(1))
asyncio.run(main())
""",
    "an asynchronous global": """
import asyncio, sys, duetime_client
client = duetime_client.AsyncClient(sys.argv[1])
async def main():
    print(await client.status(1))
asyncio.run(main())
""",
    "a watch": """
import sys, duetime_client
client = duetime_client.Client(sys.argv[1])
print(client.status(1))
watch = client.watch(1)
""",
    "never opened": "import duetime_client; c = duetime_client.AsyncClient(); print('pending')",
}


async def python(code: str, address: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "dev", "-c", code, address,
        env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_client_of_a_parent_process_raises() -> None:
    async with answers.served(answers.PENDING) as server:
        assert (await python(FORKED, server.address))[:2] == (0, "7 pending\n")


@pytest.mark.parametrize("code", FORGOTTEN.values(), ids=FORGOTTEN)
async def test_client_that_is_never_closed_exits_without_output(code: str) -> None:
    async with answers.served(answers.PENDING) as server:
        assert await python(code, server.address) == (0, "pending\n", "")
