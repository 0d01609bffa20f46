"""Watches over gRPC: without gaps, resumable, with heartbeats while idle."""

import asyncio
import collections
import datetime
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf import timestamp_pb2
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc
from duetime_core.process import outage
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_server.watch import hub, streams
from tests.support import factories, processes

Stub = Any  # grpc's stubs are typed for synchronous channels, or need quotes everywhere
FAR = datetime.timedelta(days=1)


@pytest_asyncio.fixture
async def stub(pair: processes.Pair) -> AsyncIterator[Stub]:
    """A stub of a server that has a worker."""
    async with grpc.aio.insecure_channel(pair.server.address) as channel:
        yield task_service_pb2_grpc.TaskServiceStub(channel)


def _request(name: str = "noop", *, delay: datetime.timedelta = datetime.timedelta(0), **more: Any) -> Any:
    due = timestamp_pb2.Timestamp()
    due.FromDatetime(datetime.datetime.now(datetime.UTC) + delay)
    return task_service_pb2.CreateTaskRequest(name=name, execution_time=due, **more)


async def _create(stub: Stub, *arguments: Any, **more: Any) -> int:
    task_id: int = (await stub.CreateTask(_request(*arguments, **more))).task_id
    return task_id


def _watch(stub: Stub, task_id: int, cursor: str = "") -> Any:
    return stub.WatchTask(task_service_pb2.WatchTaskRequest(task_id=task_id, cursor=cursor))


def _kind(event: Any) -> str:
    kinds = {"change": event.change.change, "end": event.end.reason, "heartbeat": "heartbeat"}
    return str(kinds[event.WhichOneof("event")])


async def test_a_watch_shows_each_change_and_ends_once_the_task_is_finished(stub: Stub) -> None:
    task_id = await _create(stub, delay=datetime.timedelta(seconds=0.3))
    events = [event async for event in _watch(stub, task_id)]
    assert [_kind(event) for event in events] == ["created", "started", "completed", "TASK_TERMINAL"]
    assert [event.change.version for event in events[:-1]] == [1, 2, 3]


async def test_a_watch_begins_with_the_last_change(stub: Stub) -> None:
    task_id = await _create(stub, "sleep", task_data={"seconds": 0.5})
    async for event in _watch(stub, task_id):
        if event.change.change == "started":
            break
    assert [_kind(event) async for event in _watch(stub, task_id)] == ["started", "completed", "TASK_TERMINAL"]
    assert [_kind(event) async for event in _watch(stub, task_id)] == ["completed", "TASK_TERMINAL"]


async def test_a_watch_that_begins_before_a_start_is_logged_shows_it(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter
) -> None:
    server = await start.server()
    task_id = await factories.create(engine)
    (claimed,) = await factories.claim(engine)
    async with grpc.aio.insecure_channel(server.address) as channel:
        events = aiter(_watch(task_service_pb2_grpc.TaskServiceStub(channel), task_id))
        assert _kind(await anext(events)) == "created"
        await task_outcomes.log_starts(engine, [claimed], worker_id="worker")
        assert _kind(await anext(events)) == "started"


async def test_a_watch_reads_the_log_of_a_running_task_once(
    engine: sqlalchemy_asyncio.AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await factories.create(engine)
    await task_outcomes.log_starts(engine, await factories.claim(engine), worker_id="worker")
    watch_hub = hub.Hub(engine, outage.Outage("the database", "calls fail"))
    read, begins = watch_hub.catch_up_with_task, []

    async def counted(task_id: int, *, after_version: int) -> Any:
        begins.append(after_version)
        return await read(task_id, after_version=after_version)

    monkeypatch.setattr(watch_hub, "catch_up_with_task", counted)
    events = streams.watch_task(engine, watch_hub, task_service_pb2.WatchTaskRequest(task_id=task_id))
    assert _kind(await anext(events)) == "started"
    await events.aclose()
    assert begins == [1]


async def test_a_watch_from_a_cursor_shows_exactly_the_rest(stub: Stub) -> None:
    task_id = await _create(stub)
    events = [event async for event in _watch(stub, task_id)]
    versions = [event.change.version for event in events[:-1]]
    for event in events[:-1]:
        rest = [each async for each in _watch(stub, task_id, event.cursor)]
        assert [each.change.version for each in rest[:-1]] == [v for v in versions if v > event.change.version]
        assert _kind(rest[-1]) == "TASK_TERMINAL"


async def test_a_deleted_task_ends_its_watch(stub: Stub) -> None:
    task_id = await _create(stub, delay=FAR)
    events = aiter(_watch(stub, task_id))
    assert _kind(await anext(events)) == "created"
    await stub.DeleteTask(task_service_pb2.DeleteTaskRequest(task_id=task_id))
    assert [_kind(event) async for event in events] == ["deleted", "TASK_TERMINAL"]


async def test_a_watch_of_all_misses_and_repeats_nothing_over_reconnects(stub: Stub) -> None:
    queue = "reconnects"
    total, seed = 300, random.randrange(2**32)
    chance = random.Random(seed)
    call = stub.WatchTasks(task_service_pb2.WatchTasksRequest(queue=queue))
    event = await call.read()
    assert _kind(event) == "heartbeat"

    async def create() -> None:
        for _ in range(total // 10):
            requests = [_request(delay=FAR, queue=queue) for _ in range(5)]
            answer, *single = await asyncio.gather(
                stub.BatchCreateTasks(task_service_pb2.BatchCreateTasksRequest(requests=requests)),
                *(stub.CreateTask(request) for request in requests),
            )
            await asyncio.gather(
                *(stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=each)) for each in answer.task_ids),
                *(stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=each.task_id)) for each in single),
            )

    creating = asyncio.create_task(create())
    seen: dict[int, list[int]] = collections.defaultdict(list)
    async with asyncio.timeout(60):
        while sum(map(len, seen.values())) < 2 * total:
            if chance.random() < 0.05:
                call.cancel()
                call = stub.WatchTasks(task_service_pb2.WatchTasksRequest(queue=queue, cursor=event.cursor))
            event = await call.read()
            if event.HasField("change"):
                seen[event.change.task_id].append(event.change.version)
    await creating
    assert len(seen) == total, f"seed {seed}"
    assert all(versions == [1, 2] for versions in seen.values()), f"seed {seed}"


async def test_a_watch_of_all_shows_only_matching_tasks(stub: Stub) -> None:
    status = task_pb2.Task.Status.cancelled
    call = stub.WatchTasks(task_service_pb2.WatchTasksRequest(queue="filtered", name="wanted", status=[status]))
    assert _kind(await call.read()) == "heartbeat"
    wanted = await _create(stub, "wanted", delay=FAR, queue="filtered")
    for name, queue in (("other", "filtered"), ("wanted", "elsewhere")):
        other = await _create(stub, name, delay=FAR, queue=queue)
        await stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=other))
    await stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=wanted))
    event = await call.read()
    assert (event.change.task_id, event.change.change) == (wanted, "cancelled")
    call.cancel()


async def test_watches_go_on_without_redis(start: processes.Starter) -> None:
    nowhere = f"redis://127.0.0.1:{processes.free_port()}/0"
    server, _ = await start.server(redis_url=nowhere), await start.worker(redis_url=nowhere)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        task_id = await _create(stub, delay=datetime.timedelta(seconds=1))
        async with asyncio.timeout(10):
            received = [_kind(event) async for event in _watch(stub, task_id)]
    assert received == ["created", "started", "completed", "TASK_TERMINAL"]


async def test_a_stopping_server_ends_its_watches_with_a_cursor(start: processes.Starter) -> None:
    first, second = await start.server(), await start.server()
    async with grpc.aio.insecure_channel(first.address) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        task_id = await _create(stub, delay=FAR)
        events = aiter(_watch(stub, task_id))
        assert _kind(await anext(events)) == "created"
        first.terminate()
        rest = [event async for event in events]
        assert [_kind(event) for event in rest] == ["SERVER_STOPPING"]
        assert await first.ended(seconds=5) == 0  # it does not wait for its grace period
    async with grpc.aio.insecure_channel(second.address) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        events = aiter(_watch(stub, task_id, rest[-1].cursor))
        assert _kind(await anext(events)) == "heartbeat"
        await stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=task_id))
        assert [_kind(event) async for event in events] == ["cancelled", "TASK_TERMINAL"]


@pytest.mark.timeout(60)
async def test_a_watcher_that_does_not_read_is_cut_off_and_can_go_on(pair: processes.Pair, stub: Stub) -> None:
    queue = "unread"
    # A connection of its own, whose window does not grow.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(pair.server.address, options) as channel:
        reader: Stub = task_service_pb2_grpc.TaskServiceStub(channel)
        events = aiter(reader.WatchTasks(task_service_pb2.WatchTasksRequest(queue=queue)))
        cursor = (await anext(events)).cursor
        created: set[int] = set()
        for _ in range(10):  # more than its connection and the server hold for it
            requests = [_request(delay=FAR, queue=queue) for _ in range(1000)]
            batch = task_service_pb2.BatchCreateTasksRequest(requests=requests)
            created.update((await stub.BatchCreateTasks(batch)).task_ids)
        other = _watch(stub, await _create(stub))  # others are not held up
        assert [_kind(event) async for event in other][-1] == "TASK_TERMINAL"
        await pair.server.wait_for_log("watch aborted")
        seen = set()
        with pytest.raises(grpc.aio.AioRpcError, match="Resume with a new watch"):  # noqa: PT012 - what came before
            async for event in events:
                cursor = event.cursor
                seen.add(event.change.task_id)
    assert 0 < len(seen) < len(created)
    async for event in stub.WatchTasks(task_service_pb2.WatchTasksRequest(queue=queue, cursor=cursor)):
        if not event.HasField("change"):
            continue
        assert event.change.task_id not in seen
        seen.add(event.change.task_id)
        if seen == created:
            break
