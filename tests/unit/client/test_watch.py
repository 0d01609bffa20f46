"""Watches of both clients on a server on a loopback port that misbehaves on purpose."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status

import duetime_client
from duetime.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc
from duetime_client import watch_progress
from tests.support import processes

Step = task_service_pb2.TaskEvent | grpc.StatusCode | str
"""What a stream does next: it sends a message, aborts with a code or a reason of the server, or hangs."""
HANG = "hang"


def change(number: int, status: str = "pending") -> task_service_pb2.TaskEvent:
    value = task_pb2.Task.Status.Value(status)
    log = task_pb2.TaskLog(task_id=7, version=number, status=value, change="updated")
    return task_service_pb2.TaskEvent(cursor=f"c{number}", change=log)


def heartbeat(cursor: str = "") -> task_service_pb2.TaskEvent:
    return task_service_pb2.TaskEvent(cursor=cursor, heartbeat=task_service_pb2.TaskEvent.Heartbeat())


def end(reason: str, cursor: str = "") -> task_service_pb2.TaskEvent:
    return task_service_pb2.TaskEvent(cursor=cursor, end=task_service_pb2.TaskEvent.End(reason=reason))


@dataclasses.dataclass
class Server(task_service_pb2_grpc.TaskServiceServicer):
    """Plays one list of steps per stream, and keeps the requests."""

    streams: list[list[Step]]
    asked: list[Any] = dataclasses.field(default_factory=list)
    address: str = ""
    hanging: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def WatchTask(self, request: Any, context: Any) -> AsyncIterator[task_service_pb2.TaskEvent]:  # noqa: N802
        self.asked.append(request)
        for step in self.streams.pop(0):
            if isinstance(step, task_service_pb2.TaskEvent):
                yield step
            elif step == HANG:
                self.hanging.set()
                await asyncio.Event().wait()
            elif isinstance(step, grpc.StatusCode):
                await context.abort(step, "as planned")
            else:
                await context.abort_with_status(rpc_status.to_status(refusal(step)))

    WatchTasks = WatchTask

    @property
    def cursors(self) -> list[str]:
        return [request.cursor for request in self.asked]


def refusal(reason: str) -> status_pb2.Status:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="duetime"))
    code = grpc.StatusCode.UNAVAILABLE if reason == "STORE_UNAVAILABLE" else grpc.StatusCode.NOT_FOUND
    return status_pb2.Status(code=code.value[0], message=reason.lower(), details=[detail])


@contextlib.asynccontextmanager
async def served(*streams: list[Step], port: int = 0) -> AsyncIterator[Server]:
    servicer = Server(list(streams))  # type: ignore[abstract]  # it has only what watches call
    server = aio.server()
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    await server.start()
    try:
        yield servicer
    finally:
        await server.stop(None)


Watched = tuple[list[int], str]
Watcher = Callable[..., Coroutine[Any, Any, Watched]]
"""Watches task 7, or all, until the end or `limit` events; returns the versions and the last cursor."""


async def watch_async(address: str, *, every: bool = False, limit: int | None = None, **options: Any) -> Watched:
    seen: list[int] = []
    async with duetime_client.AsyncClient(address) as client:
        watch = client.watch_all(**options) if every else client.watch(7, **options)
        async with watch:
            async for event in watch:
                seen.append(event.change.version)
                if len(seen) == limit:
                    break
        return seen, watch.cursor


def watch_blocking(address: str, *, every: bool = False, limit: int = 0, **options: Any) -> Watched:
    seen: list[int] = []
    with duetime_client.Client(address) as client:
        watch = client.watch_all(**options) if every else client.watch(7, **options)
        with watch:
            for event in watch:
                seen.append(event.change.version)
                if len(seen) == limit:
                    break
        return seen, watch.cursor


async def watch_sync(*arguments: Any, **options: Any) -> Watched:
    return await asyncio.to_thread(watch_blocking, *arguments, **options)


@pytest.fixture(params=[watch_async, watch_sync], ids=["async", "sync"])
def watch(request: pytest.FixtureRequest) -> Watcher:
    watcher: Watcher = request.param
    return watcher


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_progress, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(watch_progress, "MAX_DELAY_SECONDS", 0.05)


async def test_watch_ends_when_the_task_is_finished(watch: Watcher) -> None:
    async with served([heartbeat(), change(1), change(2, "completed"), end("TASK_TERMINAL")]) as server:
        assert await watch(server.address) == ([1, 2], "c2")
        assert server.cursors == [""]


@pytest.mark.parametrize(
    "interruption",
    [
        [end("SERVER_STOPPING")],
        [end("WATCHER_TOO_SLOW", "c2")],
        [grpc.StatusCode.UNAVAILABLE],
        [grpc.StatusCode.INTERNAL],
        [grpc.StatusCode.CANCELLED],
        ["STORE_UNAVAILABLE"],
        [],
    ],
    ids=str,
)
async def test_watch_resumes_right_after_its_last_event(watch: Watcher, interruption: list[Step]) -> None:
    async with served(
        [heartbeat(), change(1), change(2), *interruption],
        [heartbeat(), change(3, "failed"), end("TASK_TERMINAL")],
    ) as server:
        assert (await watch(server.address))[0] == [1, 2, 3]
        assert server.cursors == ["", "c2"]


async def test_watch_resumes_after_several_failures_in_a_row(watch: Watcher) -> None:
    # gRPC retries the two UNAVAILABLE itself, the watch the others.
    async with served(
        [change(1)],
        [grpc.StatusCode.UNAVAILABLE],
        [grpc.StatusCode.UNAVAILABLE],
        [grpc.StatusCode.INTERNAL],
        [end("SERVER_STOPPING")],
        [change(2, "completed"), end("TASK_TERMINAL")],
    ) as server:
        assert await watch(server.address) == ([1, 2], "c2")
        assert set(server.cursors[1:]) == {"c1"}


async def test_watch_keeps_the_cursor_of_heartbeats_and_hides_them(watch: Watcher) -> None:
    async with served(
        [heartbeat("a0"), change(1), heartbeat("a1"), end("SERVER_STOPPING")],
        [heartbeat("a2"), change(2, "completed"), heartbeat("a3"), end("TASK_TERMINAL")],
    ) as server:
        assert await watch(server.address) == ([1, 2], "a3")
        assert server.cursors == ["", "a1"]


async def test_watch_starts_at_the_given_cursor(watch: Watcher) -> None:
    async with served([change(6, "completed"), end("TASK_TERMINAL")]) as server:
        assert (await watch(server.address, cursor="c5"))[0] == [6]
        assert server.cursors == ["c5"]


async def test_watch_reconnects_if_heartbeats_are_missing(watch: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_progress, "HEARTBEAT_TIMEOUT_SECONDS", 2.0)  # connecting counts, too
    async with served([change(1), HANG], [change(2, "completed"), end("TASK_TERMINAL")]) as server:
        assert (await watch(server.address))[0] == [1, 2]
        assert server.cursors == ["", "c1"]


async def test_watch_of_all_has_started_once_its_block_is_entered() -> None:
    async with (
        served([grpc.StatusCode.INTERNAL], [heartbeat("now"), HANG]) as server,
        duetime_client.AsyncClient(server.address) as client,
    ):
        with pytest.raises(duetime_client.DuetimeError, match="as planned"):
            async with client.watch_all():
                pass
        async with client.watch_all() as watch:
            assert watch.cursor == "now"
        async with client.watch_all(cursor="c5") as watch:
            assert watch.cursor == "c5"
        assert server.cursors == ["", ""]


async def test_watch_of_all_resumes_with_the_same_filter(watch: Watcher) -> None:
    async with served([change(1), grpc.StatusCode.UNAVAILABLE], [change(2), HANG]) as server:
        status = [duetime_client.Status.FAILED]
        assert (await watch(server.address, every=True, limit=2, status=status, queue="mail", name="N"))[0] == [1, 2]
        for request in server.asked:
            assert list(request.status) == [task_pb2.Task.failed]
            assert (request.queue, request.name) == ("mail", "N")
        assert server.cursors == ["", "c1"]


@pytest.mark.parametrize("streams", [[["TASK_NOT_FOUND"]], [[change(1)], ["TASK_NOT_FOUND"]]])
async def test_watch_that_is_refused_raises_the_reason(watch: Watcher, streams: list[list[Step]]) -> None:
    async with served(*streams) as server:
        with pytest.raises(duetime_client.TaskNotFound, match="task_not_found"):
            await watch(server.address)


async def test_watch_with_an_unknown_end_raises_its_reason(watch: Watcher) -> None:
    async with served([change(1), end("QUOTA_SPENT")]) as server:
        with pytest.raises(duetime_client.DuetimeError) as caught:
            await watch(server.address)
        assert caught.value.reason == "QUOTA_SPENT"


async def test_watch_that_never_connects_raises(watch: Watcher) -> None:
    address = f"127.0.0.1:{processes.free_port()}"
    with pytest.raises(duetime_client.Unavailable, match=f"{address} cannot be reached"):
        await watch(address)


async def test_watch_resumes_after_the_server_recovers_on_the_same_port(watch: Watcher) -> None:
    async with served([change(1), HANG]) as server:
        watching = asyncio.create_task(watch(server.address))
        await server.hanging.wait()
    port = int(server.address.rpartition(":")[2])
    async with served([change(2, "completed"), end("TASK_TERMINAL")], port=port) as server:
        assert (await watching)[0] == [1, 2]
        assert server.cursors == ["c1"]


async def test_interrupted_iteration_resumes_from_the_cursor() -> None:
    async with (
        served([change(1), HANG], [change(2, "completed"), end("TASK_TERMINAL")]) as server,
        duetime_client.AsyncClient(server.address) as client,
    ):
        watch = client.watch(7)
        assert (await anext(watch)).cursor == "c1"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(watch)
        assert [event.cursor async for event in watch] == ["c2"]


async def test_closing_ends_an_iteration_that_waits() -> None:
    async with (
        served([change(1), HANG]) as server,
        duetime_client.AsyncClient(server.address) as client,
    ):
        watch = client.watch(7)
        await anext(watch)
        waiting = asyncio.create_task(anext(watch, None))
        await server.hanging.wait()
        await watch.aclose()
        assert await waiting is None


async def test_closing_ends_an_iteration_that_waits_in_another_thread() -> None:
    async with served([change(1), HANG]) as server:
        with duetime_client.Client(server.address) as client:
            watch = client.watch(7)
            assert (await asyncio.to_thread(next, watch)).cursor == "c1"
            rest = asyncio.create_task(asyncio.to_thread(list, watch))
            await server.hanging.wait()
            watch.close()
            assert await rest == []


async def test_watch_whose_key_expired_raises_and_does_not_resume(watch: Watcher) -> None:
    async with served([heartbeat(), change(1), end("CREDENTIALS_EXPIRED")]) as server:
        with pytest.raises(duetime_client.Unauthenticated, match="expired or was revoked") as caught:
            await watch(server.address)
        assert caught.value.reason == "CREDENTIALS_EXPIRED"
        assert len(server.cursors) == 1
