"""Which errors callers get, and when, while PostgreSQL is frozen or killed under a server."""

import asyncio
import datetime
import pathlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.protobuf import timestamp_pb2

from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from duetime_core import migrate
from duetime_core.postgres import database, error_mapping
from duetime_server.rpc import pools
from tests.support import postgres, processes, rows

Stub = Any  # grpc's stubs are typed for synchronous channels, or need quotes everywhere

LIMIT_SECONDS = 15
"""Clients wait 10 s; on a busy machine, the answer that was sent before may arrive later."""


@pytest.fixture
def own_postgres(short_directory: pathlib.Path) -> Iterator[postgres.Postgres]:
    """A PostgreSQL of this test's own."""
    own = postgres.Postgres(short_directory / uuid.uuid4().hex[:8])
    yield own
    own.kill()


@pytest_asyncio.fixture
async def server(own_postgres: postgres.Postgres, start: processes.Starter) -> processes.Process:
    """A server on it."""
    engine = database.connect(own_postgres.url, pool_size=1)
    await migrate.upgrade(engine)
    await engine.dispose()
    return await start.server(database_url=own_postgres.url)


@pytest_asyncio.fixture
async def stub(server: processes.Process) -> AsyncIterator[Stub]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield task_service_pb2_grpc.TaskServiceStub(channel)


def _request() -> task_service_pb2.CreateTaskRequest:
    due = timestamp_pb2.Timestamp()
    due.FromDatetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1))
    return task_service_pb2.CreateTaskRequest(name="noop", execution_time=due)


def _calls(stub: Stub, task_id: int) -> list[Any]:
    """Calls every rpc except the watches, and some of them many times."""
    pb = task_service_pb2
    return [
        *(stub.CreateTask(_request()) for _ in range(20)),
        stub.BatchCreateTasks(pb.BatchCreateTasksRequest(requests=[_request()])),
        *(stub.GetTaskStatus(pb.GetTaskStatusRequest(task_id=task_id)) for _ in range(20)),
        stub.GetTask(pb.GetTaskRequest(task_id=task_id)),
        stub.ListTasks(pb.ListTasksRequest()),
        stub.ListTaskLogs(pb.ListTaskLogsRequest(task_id=task_id)),
        stub.UpdateTask(pb.UpdateTaskRequest(task_id=task_id, name="other")),
        stub.CancelTask(pb.CancelTaskRequest(task_id=task_id)),
        stub.RetryTask(pb.RetryTaskRequest(task_id=task_id)),
        stub.DeleteTask(pb.DeleteTaskRequest(task_id=task_id)),
    ]


def _watches(stub: Stub, task_id: int) -> list[Any]:
    return [
        stub.WatchTask(task_service_pb2.WatchTaskRequest(task_id=task_id)).read(),
        stub.WatchTasks(task_service_pb2.WatchTasksRequest()).read(),
    ]


async def _refusals(calls: list[Any], *, seconds: float) -> set[str]:
    """Returns the messages of the calls, all of which must fail with UNAVAILABLE in time."""
    async with asyncio.timeout(seconds):
        answers: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, grpc.aio.AioRpcError) for answer in answers)
    assert {answer.code() for answer in answers} == {grpc.StatusCode.UNAVAILABLE}
    return {answer.details() for answer in answers}


async def _open_connections(own: postgres.Postgres, stub: Stub, task_id: int) -> None:
    """Opens connections of each of the server's pools, by calls that wait for a lock."""
    pb = task_service_pb2
    engine = database.connect(own.url, pool_size=2)
    async with database.transaction(engine) as locking, engine.connect() as looking:
        await locking.execute(sa.text(rows.lock_all()))
        calls: list[Any] = [
            *(stub.GetTask(pb.GetTaskRequest(task_id=task_id)) for _ in range(pools.CONTROL)),
            *(stub.BatchCreateTasks(pb.BatchCreateTasksRequest(requests=[_request()])) for _ in range(2)),
            stub.CreateTask(_request()),
            *(stub.ListTasks(pb.ListTasksRequest()) for _ in range(2)),
        ]
        waiting = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        async with asyncio.timeout(20):
            while (await looking.execute(waiting)).scalar_one() < len(calls):
                pass
    await asyncio.gather(*calls)
    await engine.dispose()


async def test_calls_to_a_frozen_database_fail_before_their_callers_time_out(
    own_postgres: postgres.Postgres, server: processes.Process, stub: Stub
) -> None:
    pb = task_service_pb2
    task_id = (await stub.CreateTask(_request())).task_id
    await _open_connections(own_postgres, stub, task_id)
    with own_postgres.frozen():
        calls = [
            stub.CreateTask(_request()),
            stub.GetTask(pb.GetTaskRequest(task_id=task_id)),
            stub.UpdateTask(pb.UpdateTaskRequest(task_id=task_id, name="other")),
            stub.BatchCreateTasks(pb.BatchCreateTasksRequest(requests=[_request()])),
        ]
        assert await _refusals(calls, seconds=LIMIT_SECONDS) == {error_mapping.LATE}
    await _open_connections(own_postgres, stub, task_id)
    assert (await stub.CreateTask(_request())).task_id
    assert not any("Traceback" in line or "psycopg" in line for line in server.log)


async def test_no_call_hangs_while_the_database_is_frozen(
    own_postgres: postgres.Postgres, server: processes.Process, stub: Stub
) -> None:
    task_id = (await stub.CreateTask(_request())).task_id
    await _open_connections(own_postgres, stub, task_id)
    with own_postgres.frozen():
        watching = asyncio.create_task(_refusals(_watches(stub, task_id), seconds=2 * LIMIT_SECONDS))
        assert error_mapping.LATE in await _refusals(_calls(stub, task_id), seconds=LIMIT_SECONDS)
        await watching
        # New connections are not answered either.
        watching = asyncio.create_task(_refusals(_watches(stub, task_id), seconds=2 * LIMIT_SECONDS))
        messages = await _refusals(_calls(stub, task_id), seconds=LIMIT_SECONDS)
        await watching
        assert any("The database is unavailable. Nothing was changed" in each for each in messages)
    assert (await stub.CreateTask(_request())).task_id  # the first one may be deleted: the outcome was unknown
    assert len([line for line in server.log if "the database is unavailable" in line]) == 1
    assert not any("Traceback" in line for line in server.log)


async def test_calls_fail_at_once_after_the_database_is_killed(
    own_postgres: postgres.Postgres, server: processes.Process, stub: Stub
) -> None:
    task_id = (await stub.CreateTask(_request())).task_id
    await _open_connections(own_postgres, stub, task_id)
    own_postgres.kill()
    messages = await _refusals([*_calls(stub, task_id), *_watches(stub, task_id)], seconds=8)
    assert "The database is unavailable. Nothing was changed; retry later." in messages
    assert len([line for line in server.log if "the database is unavailable" in line]) == 1
    assert not any("Traceback" in line for line in server.log)
    server.terminate()
    assert await server.ended() == 0
