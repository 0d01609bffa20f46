"""Watchers that read slowly or not at all: their cost for the server, for others and for themselves."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import psutil
import pytest
from google.protobuf import timestamp_pb2

from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from tests.support import processes

Stub = Any  # grpc's stubs are typed for synchronous channels, or need quotes everywhere
CHANGES, BATCH, UNREAD = 20_000, 500, 10
MB = 1e6


@contextlib.asynccontextmanager
async def connected(server: processes.Process) -> AsyncIterator[Stub]:
    """A connection of its own, whose window does not grow."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(server.address, options) as channel:
        yield task_service_pb2_grpc.TaskServiceStub(channel)


async def create(stub: Stub, number: int) -> None:
    due = timestamp_pb2.Timestamp()
    due.FromDatetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1))
    request = task_service_pb2.CreateTaskRequest(name="noop", execution_time=due)
    await stub.BatchCreateTasks(task_service_pb2.BatchCreateTasksRequest(requests=[request] * number))


@pytest.mark.timeout(120)
async def test_unread_watches_cost_little_memory_and_delay_no_others(
    start: processes.Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await start.server()
    process, clock = psutil.Process(server.pid), asyncio.get_running_loop().time
    async with contextlib.AsyncExitStack() as stack:
        stubs = [await stack.enter_async_context(connected(server)) for _ in range(UNREAD + 1)]
        unread = [stub.WatchTasks(task_service_pb2.WatchTasksRequest()) for stub in stubs[1:]]
        for call in unread:
            await call.read()
        reader = stubs[0].WatchTasks(task_service_pb2.WatchTasksRequest())
        await reader.read()
        before = most = process.memory_info().rss
        slowest = 0.0

        async def create_all() -> None:
            for _ in range(CHANGES // BATCH):
                await create(stubs[0], BATCH)

        async def read_all() -> list[int]:
            read: list[int] = []
            while len(read) < CHANGES:
                event = await reader.read()
                assert not event.HasField("end")
                if event.HasField("change"):
                    read.append(event.change.task_id)
            return read

        creating, reading = asyncio.create_task(create_all()), asyncio.create_task(read_all())
        while not (creating.done() and reading.done()):
            began = clock()
            await stubs[0].ListTasks(task_service_pb2.ListTasksRequest(page_size=1))
            slowest = max(slowest, clock() - began)
            most = max(most, process.memory_info().rss)
        await creating
        read = await reading
        await server.wait_for_log("watch aborted", seconds=60, times=UNREAD)  # one that is read before continues
        most = max(most, process.memory_info().rss)
        ends = [await _end(call) for call in unread]
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this test is read for
            f"\n{UNREAD} unread watches of {CHANGES:,} changes: the server rose by {(most - before) / MB:.0f} MB"
            f", and the slowest call meanwhile took {slowest * 1000:.0f} ms"
        )
    assert sorted(read) == list(range(1, CHANGES + 1))
    assert {code for code, _ in ends} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert all(cursor for _, cursor in ends)
    assert most - before < 50 * MB
    assert slowest < 2


async def _end(call: Any) -> tuple[grpc.StatusCode, str]:
    """Reads the buffered events of an unread watch; returns how it ended, and its last cursor."""
    cursor = ""
    with contextlib.suppress(grpc.aio.AioRpcError):
        while (event := await call.read()) is not grpc.aio.EOF:
            cursor = event.cursor
    return await call.code(), cursor


async def test_a_watcher_with_too_many_queued_changes_continues_without_a_gap(start: processes.Starter) -> None:
    server = await start.server()
    async with connected(server) as stub:
        call = stub.WatchTasks(task_service_pb2.WatchTasksRequest())
        await call.read()
        # Each batch is sent at once, and exceeds the buffer of a watch.
        await asyncio.gather(*(create(stub, 1000) for _ in range(4)))
        read: list[int] = []
        while len(read) < 4000:
            event = await call.read()
            assert not event.HasField("end")
            if event.HasField("change"):
                read.append(event.change.task_id)
        assert sorted(read) == list(range(1, 4001))
        call.cancel()
