"""Watchers behind Envoy that do not read do not block other calls on the same connections."""

import asyncio
import contextlib
from typing import Any

import grpc.aio
import pytest

from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from tests.acceptance import requests
from tests.support import stacks

UNREAD, CHANGES, BATCH = 100, 3000, 500
# Its own connection, with a window that does not grow.
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]


def _cut_off(stack: stacks.Stack) -> int:
    logs = (stack.data_dir / "logs").glob("server-*.log")
    return sum(log.read_text().count("watch aborted") for log in logs)


@pytest.mark.timeout(180)
async def test_unread_watches_block_no_other_call(
    stack: stacks.Stack, stub: Any, queue: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = asyncio.get_running_loop().time
    task_id = (await stub.CreateTask(requests.as_message(queue=queue))).task_id
    async with contextlib.AsyncExitStack() as channels:
        unread = []
        for _ in range(UNREAD):
            channel = await channels.enter_async_context(grpc.aio.insecure_channel(stack.address, OPTIONS))
            call: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            unread.append(call.WatchTasks(task_service_pb2.WatchTasksRequest(queue=queue)))
            await unread[-1].read()

        async def create_all() -> None:
            for _ in range(CHANGES // BATCH):
                batch = [requests.as_message(queue=queue) for _ in range(BATCH)]
                await stub.BatchCreateTasks(task_service_pb2.BatchCreateTasksRequest(requests=batch))

        creating = asyncio.create_task(create_all())
        slowest = 0.0
        while not creating.done() or _cut_off(stack) < UNREAD:
            began = clock()
            await stub.GetTaskStatus(task_service_pb2.GetTaskStatusRequest(task_id=task_id), timeout=30)
            slowest = max(slowest, clock() - began)
        await creating
    with capsys.disabled():
        print(f"\n{UNREAD} unread watches behind Envoy: the slowest call took {slowest * 1000:.0f} ms")  # noqa: T201
    assert slowest < 10
