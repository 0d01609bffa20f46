"""Many large lists at once: other calls continue, memory is bounded, and calls that wait too long are refused."""

import asyncio
import pathlib
from typing import Any

import grpc
import grpc.aio
import psutil
import pytest
import sqlalchemy as sa
from google.rpc import error_details_pb2, status_pb2
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import (
    queue_service_pb2,
    queue_service_pb2_grpc,
    schedule_service_pb2,
    schedule_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
)
from duetime_core.postgres import database
from duetime_core.store.tasks import create as task_create
from duetime_server.rpc import admission
from tests.acceptance import edges, refusals, requests
from tests.support import factories, fields, processes

MB = 1e6
ANY_SIZE = [("grpc.max_receive_message_length", -1)]


async def outcome(call: Any) -> tuple[grpc.StatusCode, bytes]:
    """Returns how a call ended, without its answer."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
        assert isinstance(details, bytes)
        return error.code(), details
    return grpc.StatusCode.OK, b""


async def test_sixty_large_lists_leave_others_connections_and_memory(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await start.server()
    news = [factories.new_task(queue="slow", task_data={"text": ["x" * 60] * 3_800}) for _ in range(24)]
    await task_create.create(engine, news, actor="api")
    process, clock = psutil.Process(server.pid), asyncio.get_running_loop().time
    before = most = process.memory_info().rss
    listing = task_service_pb2.ListTasksRequest(queue="slow", page_size=1000)
    got = task_service_pb2.GetTaskRequest(task_id=1)
    slowest, bystanders = 0.0, 0
    async with grpc.aio.insecure_channel(server.address, ANY_SIZE) as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        calls = [stub.ListTasks(listing) for _ in range(60)] + [stub.GetTask(got) for _ in range(60)]
        reading = [asyncio.create_task(outcome(call)) for call in calls]
        async with grpc.aio.insecure_channel(server.address) as other:
            bystander: Any = task_service_pb2_grpc.TaskServiceStub(other)
            while not all(task.done() for task in reading):
                began = clock()
                created = await bystander.CreateTask(requests.as_message(queue="small"))
                await bystander.GetTask(task_service_pb2.GetTaskRequest(task_id=created.task_id))
                slowest, bystanders = max(slowest, clock() - began), bystanders + 1
                most = max(most, process.memory_info().rss)
    ended = [await task for task in reading]
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this test is read for
            f"\n60 lists of 24 large tasks and 60 reads of one: {bystanders} creates with reads took {slowest:.2f} s "
            f"at most meanwhile, and the server's memory rose by {(most - before) / MB:.0f} MB"
        )
    assert {code for code, _ in ended} <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert sum(code is grpc.StatusCode.OK for code, _ in ended) > 3
    for code, details in ended:
        if code is not grpc.StatusCode.OK:
            check_busy(details)
    assert slowest < 5
    assert most - before < 300 * MB


def check_busy(details: bytes) -> None:
    status, info, retry = (
        status_pb2.Status.FromString(details),
        error_details_pb2.ErrorInfo(),
        error_details_pb2.RetryInfo(),
    )
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(retry)
    assert info.reason == "SERVER_BUSY"
    assert retry.retry_delay.seconds == 1
    assert "at a time" in status.message


async def test_a_call_that_waits_too_long_is_refused_with_when_to_retry(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    server = await start.server()
    async with grpc.aio.insecure_channel(server.address) as channel:
        schedules: Any = schedule_service_pb2_grpc.ScheduleServiceStub(channel)
        tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        queues: Any = queue_service_pb2_grpc.QueueServiceStub(channel)
        reading = schedule_service_pb2.ListScheduleLogsRequest(schedule_id=1)
        waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with database.transaction(engine) as locking, engine.connect() as looking:
            await locking.execute(sa.text("LOCK TABLE schedule_logs"))  # so that those who read it stay inside
            stuck = [asyncio.create_task(outcome(schedules.ListScheduleLogs(reading))) for _ in range(20)]
            async with asyncio.timeout(30):
                while (await looking.execute(waiting)).scalar_one() < 3:
                    pass
            # One line for all lists; what is small has its connections.
            refused = [
                tasks.ListTasks(task_service_pb2.ListTasksRequest()),
                tasks.ListTaskLogs(task_service_pb2.ListTaskLogsRequest(task_id=1)),
                tasks.ExplainTask(task_service_pb2.ExplainTaskRequest(task_id=1)),
                queues.ListQueues(queue_service_pb2.ListQueuesRequest()),
                queues.ListWorkers(queue_service_pb2.ListWorkersRequest()),
                schedules.ListSchedules(schedule_service_pb2.ListSchedulesRequest()),
            ]
            created = await tasks.CreateTask(requests.as_message())
            await tasks.GetTask(task_service_pb2.GetTaskRequest(task_id=created.task_id))
            async with edges.running(tmp_path / "edge", server.address) as rest:
                over_rest = await rest.get("/api/tasks")
            refusal = refusals.over_rest(over_rest)
            assert (over_rest.status_code, over_rest.headers["retry-after"]) == (429, "1")
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_BUSY")
            for code, details in await asyncio.gather(*map(outcome, refused)):
                assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
                check_busy(details)
        await asyncio.gather(*stuck)


def test_every_list_uses_the_limiter() -> None:
    lists = {name for name in fields.METHODS if name.startswith("List")}
    assert lists == admission.LISTS
