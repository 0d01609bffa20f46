"""Faults of Envoy, servers and watchers, and processes that crash at their worst moment."""

import asyncio
from typing import Any

import grpc.aio
import psutil
import pytest

import duetime_client
from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from tests.chaos import lateness, scenario
from tests.chaos.conftest import Play, Show
from tests.support import clients

pytestmark = pytest.mark.timeout(300)


def _resumed(scene: scenario.Scenario) -> str:
    events = sum(len(seen.events) for seen in scene.load.watchers.seen)
    return f"{len(scene.load.watchers.seen)} watches saw {events} events without a gap or a repeat"


async def test_envoy_is_killed_and_restarted(play: Play, show: Show) -> None:
    async with play() as scene:
        async with scene.load.running():
            for _ in range(5):
                await asyncio.sleep(2)
                await scene.world.kill_edge()
                await asyncio.sleep(0.5)
                await scene.world.start_edge()
        scene.require_sound(await scene.settled())  # rule 7: watches resume by cursor
        show(_resumed(scene))


async def test_servers_are_killed_under_watches_while_tasks_move(play: Play, show: Show, is_long: bool) -> None:
    async with play() as scene:
        async with scene.load.running(filtered=True):
            for _ in range(8 if is_long else 5):
                await asyncio.sleep(1.5)
                await scene.world.kill_server(0)
        scene.require_sound(await scene.settled())
        show(_resumed(scene))


async def test_a_server_crashes_between_commit_and_wakeup(play: Play, show: Show) -> None:
    async with play(servers=1) as scene:
        async with scene.load.running():
            for _ in range(5):
                await asyncio.sleep(1)
                await scene.world.crash_server("server.committed")
        found = await scene.settled()
        scene.require_sound(found)  # rule 6: a retried create returned the committed task
        lateness.require_on_time(found, show)


@pytest.mark.parametrize("point", ["worker.claimed", "worker.ran", "worker.finished"])
async def test_a_worker_crashes_between_claim_and_outcome(play: Play, show: Show, point: str) -> None:
    async with play(workers=1) as scene:
        async with scene.load.running():
            for _ in range(5):
                await asyncio.sleep(1)
                await scene.world.crash_worker(point)
        found = await scene.settled()
        scene.require_sound(found)
        lateness.require_on_time(found, show)
        lost = sum(log.change == "lease_lost" for logs in found.logs.values() for log in logs)
        show(f"{lost} leases lost")
        # Until the outcome is committed, the task must run again; afterwards rule 3 forbids it.
        assert lost > 0 or point == "worker.finished"


async def test_watchers_that_stop_reading(play: Play, show: Show) -> None:
    async with play() as scene:
        server = scene.world.servers[0]
        process = psutil.Process(server.pid)
        # Windows that do not grow, so that the client's library does not read ahead.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
        async with scene.load.running(), grpc.aio.insecure_channel(server.address, options) as channel:
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            before = process.memory_info().rss
            slow = [stub.WatchTasks(task_service_pb2.WatchTasksRequest()) for _ in range(10)]
            await asyncio.gather(*(each.read() for each in slow))
            async with duetime_client.AsyncClient(scene.world.target) as client:
                for _ in range(10):
                    await client.create_many([duetime_client.NewTask("chaos", clients.NOW, {"token": 0})] * 1000)
            await server.wait_for_log("watch aborted", seconds=60, times=len(slow))  # one that is read before continues
            ends = [await _end(each) for each in slow]
            grown = (process.memory_info().rss - before) / 1e6
            show(f"10 slow watchers cost the server {grown:.0f} MB until they were cut off")
            assert {code for code, _ in ends} == {"RESOURCE_EXHAUSTED"}
            assert all(cursor for _, cursor in ends)
            assert grown < 100
        found = await scene.settled()
        scene.require_sound(found)


async def _end(slow: Any) -> tuple[str, str]:
    """Reads the buffered events of a slow watcher; returns how its watch ended, and its last cursor."""
    cursor = ""
    try:
        while (event := await slow.read()) is not grpc.aio.EOF:
            cursor = event.cursor
            if event.WhichOneof("event") == "end":
                return event.end.reason, cursor
    except grpc.aio.AioRpcError as error:
        return error.code().name, cursor
    return "ended", cursor
