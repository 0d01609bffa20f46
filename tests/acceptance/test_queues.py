"""Queues through the whole stack: over REST, gRPC, the client and the command line."""

import datetime
import json
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

import duetime_client
from duetime.v1 import queue_service_pb2, queue_service_pb2_grpc
from tests import stacks
from tests.acceptance import commands, refusals, requests

DAY = datetime.timedelta(days=1)


async def fill(rest: httpx.AsyncClient, queue: str, **changes: Any) -> int:
    """Creates a task that is due in the queue, and returns its id."""
    body = requests.as_json(queue=queue, execution_time=requests.at(0).isoformat(), **changes)
    created = await rest.post("/api/tasks", json=body)
    task_id: int = created.json()["task_id"]
    return task_id


async def test_a_queue_is_listed_held_back_and_let_go_over_rest(rest: httpx.AsyncClient, queue: str) -> None:
    await fill(rest, queue)
    limited = await rest.patch(f"/api/queues/{queue}", json={"max_running": 5, "max_per_second": 2.5})
    assert limited.status_code == 200
    shown = limited.json()
    assert (shown["max_running"], shown["max_per_second"], shown["paused"]) == (5, 2.5, False)
    assert (shown["depth"], shown["running"], shown["workers"]) == (1, 0, 0)
    assert "max_running_per_key" not in shown
    assert (await rest.post(f"/api/queues/{queue}:pause", json={})).json()["paused"] is True
    assert (await rest.get(f"/api/queues/{queue}")).json() == {**shown, "paused": True}
    assert (await rest.post(f"/api/queues/{queue}:resume", json={})).json() == shown
    freed = await rest.put(f"/api/queues/{queue}", json={"update_mask": "max_running,max_per_second"})
    assert "max_running" not in freed.json()
    listed = (await rest.get("/api/queues")).json()["queues"]
    assert [each for each in listed if each["name"] == queue] == [freed.json()]


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a limit of zero": ({"max_running": 0}, "max_running", "must be from 1 to"),
    "a rate of zero": ({"max_per_second": 0}, "max_per_second", "must be from 0.001 to"),
    "a rate below zero": ({"max_per_second": -1}, "max_per_second", "must be from 0.001 to"),
    "a rate that is no number": ({"max_per_second": "NaN"}, "max_per_second", "must be from 0.001 to"),
    "a limit per key of zero": ({"max_running_per_key": 0}, "max_running_per_key", "pause the queue"),
    "a rate per key that is far too high": (
        {"max_per_second_per_key": 1e9},
        "max_per_second_per_key",
        "100000 tasks a second",
    ),
    "nothing to change": ({}, "update_mask", "nothing to change"),
    "a field that no queue has": ({"update_mask": "depth"}, "update_mask", "names 'depth'"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_limit_is_refused_and_changes_nothing(rest: httpx.AsyncClient, queue: str, wrong: str) -> None:
    body, field, right = WRONG[wrong]
    await fill(rest, queue)
    before = (await rest.get(f"/api/queues/{queue}")).json()
    refused = refusals.over_rest(await rest.patch(f"/api/queues/{queue}", json=body))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.fields) == [field]
    assert right in refused.fields[field]
    assert (await rest.get(f"/api/queues/{queue}")).json() == before


async def test_an_unknown_queue_is_named_with_those_that_there_are(rest: httpx.AsyncClient, queue: str) -> None:
    for call in (
        rest.patch("/api/queues/mial", json={"max_running": 1}),
        rest.post("/api/queues/mial:pause", json={}),
        rest.post("/api/queues/mial:resume", json={}),
    ):
        refused = refusals.over_rest(await call)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.fields["name"].startswith("'mial' is no queue that a task is in")
    absent = refusals.over_rest(await rest.get("/api/queues/mial"))
    assert (absent.code, absent.reason) == (grpc.StatusCode.NOT_FOUND, "QUEUE_NOT_FOUND")
    malformed = refusals.over_rest(await rest.get("/api/queues/Not A Queue"))
    assert list(malformed.fields) == ["name"]


async def test_a_queue_can_be_held_back_in_advance(stack: stacks.Stack, queue: str) -> None:
    async with grpc.aio.insecure_channel(stack.address) as channel:
        stub: Any = queue_service_pb2_grpc.QueueServiceStub(channel)
        request = queue_service_pb2.UpdateQueueRequest(name=queue, max_running_per_key=1, allow_missing=True)
        held = await stub.UpdateQueue(request)
        assert held.max_running_per_key == 1
        assert (await stub.GetQueue(queue_service_pb2.GetQueueRequest(name=queue))) == held


async def test_the_client_controls_queues(stack: stacks.Stack, rest: httpx.AsyncClient, queue: str) -> None:
    await fill(rest, queue, priority=3)
    async with duetime_client.AsyncClient(stack.address) as client:
        held = await client.update_queue(queue, max_running=2, max_per_second_per_key=0.5)
        assert (held.max_running, held.max_per_second, held.max_per_second_per_key) == (2, None, 0.5)
        assert held.oldest_due is not None
        assert (await client.update_queue(queue, max_running=None)).max_running is None
        assert (await client.pause_queue(queue)).paused
        assert await client.get_queue(queue) in await client.queues()
        assert not (await client.resume_queue(queue)).paused
        with pytest.raises(duetime_client.InvalidArgument, match="must be from 1 to"):
            await client.update_queue(queue, max_running=0)
        with pytest.raises(duetime_client.QueueNotFound):
            await client.get_queue("nobody")


async def test_the_command_line_controls_queues(stack: stacks.Stack, rest: httpx.AsyncClient, queue: str) -> None:
    await fill(rest, queue)
    limit = f"queue limit {queue}"
    limited = await commands.run(stack, f"{limit} --max-running 5 --max-per-second-per-key 0.5 --json")
    assert json.loads(limited.stdout)["max_running"] == 5
    paused = (await commands.run(stack, f"queue pause {queue}")).stdout.splitlines()
    assert paused[0].split() == ["queue", "due", "since", "running", "starts/s", "workers", "held", "back"]
    assert paused[1].endswith("paused, 5 at once, 0.5/s per key")
    assert "paused" not in (await commands.run(stack, f"queue resume {queue}")).stdout
    freed = await commands.run(stack, f"{limit} --max-running none --max-per-second-per-key none")
    assert freed.stdout.splitlines()[1].split()[0] == queue
    assert queue in (await commands.run(stack, "queue list")).stdout
    wrong = await commands.run(stack, f"{limit} --max-running 2.5")
    assert (wrong.returncode, "is not a whole number" in wrong.stderr) == (2, True)
    assert "nor 'none'" in (await commands.run(stack, f"{limit} --max-per-second fast")).stderr
    assert (await commands.run(stack, "queue get nobody")).returncode == 3
