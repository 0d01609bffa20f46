"""Queues in a whole stack: over REST, gRPC, the client and the command line."""

import base64
import datetime
import hashlib
import json
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

import duetime_client
from duetime.v1 import queue_service_pb2, queue_service_pb2_grpc
from tests.acceptance import commands, refusals, requests
from tests.support import stacks

DAY = datetime.timedelta(days=1)


async def fill(rest: httpx.AsyncClient, queue: str, **changes: Any) -> int:
    """Creates a due task in the queue, and returns its id."""
    body = requests.as_json(queue=queue, execution_time=requests.at(0).isoformat(), **changes)
    created = await rest.post("/api/tasks", json=body)
    task_id: int = created.json()["task_id"]
    return task_id


async def listed(rest: httpx.AsyncClient, **parameters: Any) -> list[dict[str, Any]]:
    """Lists all queues, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        page = (await rest.get("/api/queues", params=parameters)).json()
        assert 0 < len(page["queues"]) <= parameters["page_size"]
        found += page["queues"]
        if not page["next_page_token"]:
            assert [each["name"] for each in found] == sorted({each["name"] for each in found})
            return found
        parameters["page_token"] = page["next_page_token"]


async def test_a_queue_is_listed_limited_and_unlimited_over_rest(rest: httpx.AsyncClient, queue: str) -> None:
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
    assert [each for each in await listed(rest, page_size=3) if each["name"] == queue] == [freed.json()]


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a limit of zero": ({"max_running": 0}, "max_running", "must be from 1 to"),
    "a rate of zero": ({"max_per_second": 0}, "max_per_second", "must be from 0.001 to"),
    "a rate below zero": ({"max_per_second": -1}, "max_per_second", "must be from 0.001 to"),
    "a rate that is not a number": ({"max_per_second": "NaN"}, "max_per_second", "must be from 0.001 to"),
    "a limit per key of zero": ({"max_running_per_key": 0}, "max_running_per_key", "pause the queue"),
    "a rate per key that is far too high": (
        {"max_per_second_per_key": 1e9},
        "max_per_second_per_key",
        "100000 tasks per second",
    ),
    "nothing to change": ({}, "update_mask", "nothing to change"),
    "a field that no queue has": ({"update_mask": "depth"}, "update_mask", "names 'depth'"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_invalid_limit_is_refused_and_changes_nothing(rest: httpx.AsyncClient, queue: str, wrong: str) -> None:
    body, field, right = WRONG[wrong]
    await fill(rest, queue)
    before = (await rest.get(f"/api/queues/{queue}")).json()
    refused = refusals.over_rest(await rest.patch(f"/api/queues/{queue}", json=body))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.fields) == [field]
    assert right in refused.fields[field]
    assert (await rest.get(f"/api/queues/{queue}")).json() == before


async def test_an_unknown_queue_is_refused_with_the_known_ones(rest: httpx.AsyncClient, queue: str) -> None:
    await fill(rest, queue)
    for call in (
        rest.get("/api/queues/mial"),
        rest.patch("/api/queues/mial", json={"max_running": 1}),
        rest.put("/api/queues/mial", json={"paused": True}),
        rest.post("/api/queues/mial:pause", json={}),
        rest.post("/api/queues/mial:resume", json={}),
    ):
        response = await call
        absent = refusals.over_rest(response)
        assert (response.status_code, absent.code) == (404, grpc.StatusCode.NOT_FOUND)
        assert (absent.reason, absent.metadata) == ("QUEUE_NOT_FOUND", {"queue": "mial"})
        assert absent.message.startswith("There is no queue 'mial': it has no unfinished task")
        assert ("allow_missing" in absent.message) == (response.request.method != "GET")
    malformed = refusals.over_rest(await rest.get("/api/queues/Not A Queue"))
    assert list(malformed.fields) == ["name"]


async def test_a_queue_can_be_limited_before_it_has_tasks(stack: stacks.Stack, queue: str) -> None:
    async with grpc.aio.insecure_channel(stack.address) as channel:
        stub: Any = queue_service_pb2_grpc.QueueServiceStub(channel)
        request = queue_service_pb2.UpdateQueueRequest(name=queue, max_running_per_key=1, allow_missing=True)
        held = await stub.UpdateQueue(request)
        assert held.max_running_per_key == 1
        assert (await stub.GetQueue(queue_service_pb2.GetQueueRequest(name=queue))) == held


async def test_the_client_pauses_and_limits_queues(stack: stacks.Stack, rest: httpx.AsyncClient, queue: str) -> None:
    await fill(rest, queue, priority=3)
    async with duetime_client.AsyncClient(stack.address) as client:
        held = await client.update_queue(queue, max_running=2, max_per_second_per_key=0.5)
        assert (held.max_running, held.max_per_second, held.max_per_second_per_key) == (2, None, 0.5)
        assert held.oldest_due is not None
        assert (await client.update_queue(queue, max_running=None)).max_running is None
        assert (await client.pause_queue(queue)).paused
        assert await client.get_queue(queue) in await client.list_queues()
        assert not (await client.resume_queue(queue)).paused
        with pytest.raises(duetime_client.InvalidArgument, match="must be from 1 to"):
            await client.update_queue(queue, max_running=0)
        for call in (client.get_queue, client.pause_queue, client.resume_queue):
            with pytest.raises(duetime_client.QueueNotFound):
                await call(f"{queue}-of-nobody")


async def test_the_command_line_pauses_and_limits_queues(
    stack: stacks.Stack, rest: httpx.AsyncClient, queue: str
) -> None:
    await fill(rest, queue)
    limit = f"queue limit {queue}"
    limited = await commands.run(stack, f"{limit} --max-running 5 --max-per-second-per-key 0.5 --json")
    assert json.loads(limited.stdout)["max_running"] == 5
    paused = (await commands.run(stack, f"queue pause {queue}")).stdout.splitlines()
    assert paused[0].split() == ["queue", "due", "oldest", "due", "running", "starts/s", "workers", "limits"]
    assert paused[1].endswith("paused, 5 at once, 0.5/s per key")
    assert "paused" not in (await commands.run(stack, f"queue resume {queue}")).stdout
    freed = await commands.run(stack, f"{limit} --max-running none --max-per-second-per-key none")
    assert freed.stdout.splitlines()[1].split()[0] == queue
    assert queue in (await commands.run(stack, "queue list")).stdout
    wrong = await commands.run(stack, f"{limit} --max-running 2.5")
    assert (wrong.returncode, "must be a whole number" in wrong.stderr) == (2, True)
    assert "or 'none'" in (await commands.run(stack, f"{limit} --max-per-second fast")).stderr
    assert (await commands.run(stack, f"queue get {queue}-of-nobody")).returncode == 3


def token(scope: tuple[str, ...], value: Any) -> str:
    """A forged page_token."""
    digest = hashlib.sha256(repr(scope).encode()).hexdigest()[:8]
    return base64.urlsafe_b64encode(json.dumps([digest, value]).encode()).decode().rstrip("=")


@pytest.mark.parametrize("path", ["queues", "workers", "queues/default/logs"])
@pytest.mark.parametrize(
    "value", ["\0", "\ud800", 7, True, None, [], {"a": 1}, 10**30, "x"], ids=lambda value: repr(value)[:20]
)
async def test_a_forged_page_token_is_refused_or_harmless(rest: httpx.AsyncClient, path: str, value: Any) -> None:
    scopes = {
        "queues": ("ListQueues",),
        "workers": ("ListWorkers",),
        "queues/default/logs": ("ListQueueLogs", "default"),
    }
    given = await rest.get(f"/api/{path}", params={"page_token": token(scopes[path], value)})
    if given.status_code != 200:
        assert list(refusals.over_rest(given).fields) == ["page_token"]
    assert not isinstance(value, str) or value == "x" or given.status_code == 400
    other = await rest.get(f"/api/{path}", params={"page_token": token(("ListTasks",), "x")})
    assert "belongs to another request" in refusals.over_rest(other).fields["page_token"]
    large = await rest.get(f"/api/{path}", params={"page_size": 1001})
    assert list(refusals.over_rest(large).fields) == ["page_size"]


async def test_the_history_of_a_queue_is_listed_over_rest(rest: httpx.AsyncClient, queue: str) -> None:
    await fill(rest, queue)
    path = f"/api/queues/{queue}"
    assert (await rest.get(f"{path}/logs")).json() == {"logs": [], "next_page_token": ""}
    await rest.post(f"{path}:pause", json={})
    await rest.post(f"{path}:pause", json={})
    await rest.patch(path, json={"max_running": 5, "max_per_second_per_key": 0.5})
    await rest.patch(path, json={"max_running": 0})  # refused
    await rest.put(path, json={"update_mask": "max_running"})
    await rest.post(f"{path}:resume", json={})
    first = (await rest.get(f"{path}/logs", params={"page_size": 3})).json()
    second = (await rest.get(f"{path}/logs", params={"page_token": first["next_page_token"]})).json()
    assert second["next_page_token"] == ""
    logs = first["logs"] + second["logs"]
    assert {(log["queue"], log["actor"]) for log in logs} == {(queue, "api")}
    assert [(log["change"], log["changes"]) for log in logs] == [
        ("paused", [{"field": "paused", "before": False, "after": True}]),
        (
            "updated",
            [
                {"field": "max_running", "after": 5},
                {"field": "max_per_second_per_key", "after": 0.5},
            ],
        ),
        ("updated", [{"field": "max_running", "before": 5}]),
        ("resumed", [{"field": "paused", "before": True, "after": False}]),
    ]
    assert refusals.over_rest(await rest.get("/api/queues/mial/logs")).reason == "QUEUE_NOT_FOUND"


async def test_the_client_and_the_command_line_show_the_history_of_a_queue(
    stack: stacks.Stack, rest: httpx.AsyncClient, queue: str
) -> None:
    await fill(rest, queue)
    async with duetime_client.AsyncClient(stack.address) as client:
        await client.pause_queue(queue)
        await client.update_queue(queue, max_running=5, paused=False)
        lines = [line async for line in client.queue_logs(queue)]
        with pytest.raises(duetime_client.QueueNotFound):
            await anext(client.queue_logs(f"{queue}-of-nobody"))
    paused, limited = lines
    assert (paused.queue, paused.change, paused.actor) == (queue, "paused", "api")
    assert paused.changes == (duetime_client.FieldChange("paused", False, True),)
    assert limited.changes == (
        duetime_client.FieldChange("paused", True, False),
        duetime_client.FieldChange("max_running", None, 5),
    )
    shown = (await commands.run(stack, f"queue logs {queue}")).stdout.splitlines()
    assert shown[0].split() == ["time", "change", "by", "from", "to"]
    assert shown[1].split()[-4:] == ["paused", "api", "paused=no", "paused=yes"]
    assert shown[2].split("api")[1].split("  ") == ["", "paused=yes, max_running=none", "paused=no, max_running=5"]
    in_json = (await commands.run(stack, f"queue logs {queue} --json")).stdout.splitlines()
    assert json.loads(in_json[1])["changes"][1] == {"field": "max_running", "after": 5}
    assert (await commands.run(stack, f"queue logs {queue}-of-nobody")).returncode == 3


async def test_the_client_and_the_command_line_read_all_pages(
    stack: stacks.Stack, rest: httpx.AsyncClient, queue: str
) -> None:
    names = [f"{queue}-{number:03}" for number in range(120)]
    bodies = [requests.as_json(queue=name, execution_time=requests.at(0).isoformat()) for name in names]
    assert (await rest.post("/api/tasks:batchCreate", json={"requests": bodies})).status_code == 200
    async with duetime_client.AsyncClient(stack.address) as client:
        found = [each.name for each in await client.list_queues()]
    assert [name for name in found if name.startswith(f"{queue}-")] == names
    printed = (await commands.run(stack, "queue list --json")).stdout.splitlines()
    assert {*names} <= {json.loads(line)["name"] for line in printed}
