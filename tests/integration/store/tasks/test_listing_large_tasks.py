"""Lists of large tasks block no other call, and do not fill the server's memory."""

import asyncio

import grpc.aio
import psutil
import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from duetime_core.store.tasks import create as task_create
from tests.support import factories, processes

pytestmark = pytest.mark.no_cover  # it measures time

MB = 1e6


async def test_a_list_of_large_tasks_delays_no_other_call(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await start.server()
    news = [factories.new_task(task_data={"numbers": [0] * 100_000}) for _ in range(40)]
    await task_create.create(engine, news, actor="api")
    process, clock = psutil.Process(server.pid), asyncio.get_running_loop().time
    before = most = process.memory_info().rss
    slowest, pages, listed = 0.0, 0, list[int]()
    async with grpc.aio.insecure_channel(server.address, [("grpc.max_receive_message_length", -1)]) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)

        async def list_all() -> None:
            nonlocal pages
            request = task_service_pb2.ListTasksRequest(page_size=1000, order_by="task_id")
            while pages == 0 or request.page_token:
                answer = await stub.ListTasks(request)
                pages += 1
                listed.extend(each.task_id for each in answer.tasks)
                request.page_token = answer.next_page_token

        listing = asyncio.create_task(list_all())
        while not listing.done():
            # From a process whose own loop is idle the responses are faster still: this one parses the pages.
            began = clock()
            await stub.GetTaskStatus(task_service_pb2.GetTaskStatusRequest(task_id=1))
            slowest = max(slowest, clock() - began)
            most = max(most, process.memory_info().rss)
        await listing
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this test is read for
            f"\n40 tasks of 100,000 numbers in {pages} pages: GetTaskStatus took {slowest * 1000:.0f} ms at most "
            f"meanwhile, and the server's memory rose by {(most - before) / MB:.0f} MB"
        )
    assert listed == list(range(1, 41))
    assert pages > 2
    assert slowest < 1
    assert most - before < 500 * MB
