"""Each kind of calls has its own connections: those of others continue while it waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import schedule_service_pb2, schedule_service_pb2_grpc, task_service_pb2, task_service_pb2_grpc
from duetime_core.postgres import database
from tests.acceptance import requests
from tests.support import factories, logs, processes, rows

Engine = sqlalchemy_asyncio.AsyncEngine
SECONDS = 7
"""Less than the timeout of the statements that hold the connections of the others."""


@contextlib.asynccontextmanager
async def waiting(engine: Engine, lock: str, calls: list[Any], *, waiters: int) -> AsyncIterator[None]:
    """Runs the block while `waiters` of the calls wait in PostgreSQL for that lock."""
    going: list[asyncio.Future[Any]] = []
    try:
        async with database.transaction(engine) as locking:
            await locking.execute(sa.text(lock))
            going += [asyncio.ensure_future(call()) for call in calls]
            await (logs.waits_for_a_lock if "TABLE" in lock else logs.waits_for_a_row)(engine, waiters=waiters)
            yield
    finally:
        await asyncio.gather(*going, return_exceptions=True)


async def create(tasks: Any) -> None:
    """Creates a task alone and another one in a batch, each within SECONDS."""
    await tasks.CreateTask(requests.as_message(), timeout=SECONDS)
    batch = task_service_pb2.BatchCreateTasksRequest(requests=[requests.as_message()])
    await tasks.BatchCreateTasks(batch, timeout=SECONDS)


async def test_creates_and_changes_of_one_task_continue_while_ten_lists_and_bulk_changes_wait(
    engine: Engine, start: processes.Starter
) -> None:
    task_id = await factories.create(engine)
    server = await start.server()
    async with grpc.aio.insecure_channel(server.address) as channel:
        tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        schedules: Any = schedule_service_pb2_grpc.ScheduleServiceStub(channel)
        listing = schedule_service_pb2.ListScheduleLogsRequest(schedule_id=1)
        backfill = schedule_service_pb2.BackfillScheduleRequest(schedule_id=1)
        for moment, field in (
            ("2026-01-01T00:00:00Z", backfill.start_time),
            ("2026-01-02T00:00:00Z", backfill.end_time),
        ):
            field.FromJsonString(moment)
        calls = [lambda: schedules.ListScheduleLogs(listing)] * 10 + [lambda: schedules.BackfillSchedule(backfill)] * 10
        async with waiting(engine, "LOCK TABLE schedules, schedule_logs", calls, waiters=5):
            await create(tasks)
            await tasks.CancelTask(task_service_pb2.CancelTaskRequest(task_id=task_id), timeout=SECONDS)


async def test_creates_and_lists_continue_while_twenty_changes_of_a_task_wait_for_its_row(
    engine: Engine, start: processes.Starter
) -> None:
    task_id = await factories.create(engine)
    server = await start.server()
    async with grpc.aio.insecure_channel(server.address) as channel:
        tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        cancel = task_service_pb2.CancelTaskRequest(task_id=task_id)
        async with waiting(engine, rows.lock(task_id), [lambda: tasks.CancelTask(cancel)] * 20, waiters=6):
            await create(tasks)
            await tasks.ListTasks(task_service_pb2.ListTasksRequest(), timeout=SECONDS)


async def test_changes_of_one_task_and_lists_continue_while_ten_creates_wait_for_a_request_id(
    engine: Engine, start: processes.Starter
) -> None:
    task_id = await factories.create(engine)
    server = await start.server()
    async with grpc.aio.insecure_channel(server.address) as channel:
        tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        creating = [
            task_service_pb2.BatchCreateTasksRequest(requests=[requests.as_message(request_id=f"r{number}")])
            for number in range(10)
        ]
        calls = [lambda batch=batch: tasks.BatchCreateTasks(batch) for batch in creating]
        async with waiting(engine, rows.lock_all("SHARE ROW EXCLUSIVE"), calls, waiters=2):
            await tasks.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id), timeout=SECONDS)
            await tasks.ListTasks(task_service_pb2.ListTasksRequest(), timeout=SECONDS)
