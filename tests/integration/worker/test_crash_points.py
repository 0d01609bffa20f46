"""Processes that crash at the worst moments: no task is lost, and only unrecorded runs are repeated."""

import asyncio
import datetime
import pathlib
import signal

import pytest

import duetime_client
from duetime_client import Status
from tests.support import clients, processes

RUNS_AGAIN = ["created", "started", "lease_lost", "started", "completed"]
IS_RECORDED = ["created", "started", "completed"]


@pytest.mark.parametrize(
    ("point", "runs", "changes"),
    [("worker.claimed", 1, RUNS_AGAIN), ("worker.ran", 2, RUNS_AGAIN), ("worker.finished", 1, IS_RECORDED)],
)
async def test_a_task_whose_worker_crashes_completes(
    start: processes.Starter, tmp_path: pathlib.Path, point: str, runs: int, changes: list[str]
) -> None:
    server = await start.server()
    async with duetime_client.AsyncClient(server.address) as client:
        task_id = await client.create("echo", clients.NOW, {"a": 1})
        doomed = await start.worker(lease="PT4S", crash_point=point)
        assert await doomed.ended() == -signal.SIGKILL
        await start.worker()
        done = await clients.finished(client, task_id)
        assert (done.status, done.result) == (Status.COMPLETED, {"a": 1})
        assert await clients.changes(client, task_id) == changes
        assert len(clients.handler_events(tmp_path, task_id)) == runs


async def test_a_committed_task_runs_once_although_its_server_crashes(
    start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    doomed = await start.server(crash_point="server.committed")
    await start.worker()
    due = datetime.datetime.now(datetime.UTC)
    async with duetime_client.AsyncClient(doomed.address) as client:
        creating = asyncio.create_task(client.create("echo", due, request_id="once"))  # the client retries
        assert await doomed.ended() == -signal.SIGKILL
        await start.server(address=doomed.address)
        try:
            task_id = await creating
        except duetime_client.Unavailable:  # it starts more slowly than the client retries
            task_id = await client.create("echo", due, request_id="once")
        assert (await clients.finished(client, task_id)).status is Status.COMPLETED
        assert len(clients.handler_events(tmp_path, task_id)) == 1
        assert [each.task_id async for each in client.list()] == [task_id]


async def test_an_unknown_crash_point_ends_the_process(start: processes.Starter) -> None:
    with pytest.raises(AssertionError, match=r"DUETIME_CRASH_POINT: must be one of server\.committed, "):
        await start.worker(crash_point="nowhere")
