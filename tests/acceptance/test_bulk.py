"""Bulk operations in a whole stack: over REST, the client and the command line."""

import datetime
from typing import Any

import grpc
import httpx
import pytest

import duetime_client
from tests.acceptance import commands, refusals, requests
from tests.support import stacks


async def fill(rest: httpx.AsyncClient, queue: str, count: int = 3) -> list[int]:
    bodies = [requests.as_json(queue=queue) for _ in range(count)]
    created = await rest.post("/api/tasks:batchCreate", json={"requests": bodies})
    task_ids: list[int] = created.json()["task_ids"]
    return task_ids


async def statuses(rest: httpx.AsyncClient, task_ids: list[int]) -> set[str]:
    return {(await rest.get(f"/api/tasks/{task_id}/status")).json().get("status", "gone") for task_id in task_ids}


async def test_bulk_operations_work_over_rest(rest: httpx.AsyncClient, queue: str) -> None:
    task_ids = await fill(rest, queue)
    body: dict[str, Any] = {"filter": {"queue": queue}}
    due = requests.at(3600).isoformat()
    moved = await rest.post("/api/tasks:move", json={**body, "execution_time": due, "queue": f"{queue}-b"})
    assert moved.json() == {"count": 3, "has_more": False}
    body = {"filter": {"queue": f"{queue}-b", "status": ["pending", "running"]}}
    assert (await rest.post("/api/tasks:cancel", json=body)).json()["count"] == 3
    assert await statuses(rest, task_ids) == {"cancelled"}
    body = {"filter": {"queue": f"{queue}-b"}}
    assert (await rest.post("/api/tasks:retry", json=body)).json()["count"] == 3
    assert await statuses(rest, task_ids) == {"pending"}
    assert (await rest.post("/api/tasks:delete", json=body)).json()["count"] == 3
    assert await statuses(rest, task_ids) == {"gone"}
    logs = (await rest.get(f"/api/tasks/{task_ids[0]}/logs")).json()["logs"]
    assert [log["change"] for log in logs] == ["created", "updated", "cancelled", "retried", "deleted"]


WRONG: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no filter": ("cancel", {}, "filter", "set `all`"),
    "a status that allows nothing": ("cancel", {"filter": {"status": "failed"}}, "filter.status", "pending, running"),
    "a wrong queue": ("retry", {"filter": {"queue": "A B"}}, "filter.queue", "must be 1 to"),
    "no schedule": ("cancel", {"filter": {"queue": "a", "schedule_id": 0}}, "filter.schedule_id", "from 1 on, not 0"),
    **{
        f"an empty {field}": ("delete", {"filter": {"status": "pending", field: ""}}, f"filter.{field}", "must ")
        for field in ("queue", "name", "name_prefix", "concurrency_key", "request_id")
    },
    "nowhere to move": ("move", {"filter": {"queue": "a"}}, "execution_time", "or queue is required"),
    "a wrong queue to move to": ("move", {"filter": {"queue": "a"}, "queue": "A B"}, "queue", "must be 1 to"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_invalid_requests_are_refused_with_the_field(rest: httpx.AsyncClient, wrong: str) -> None:
    verb, body, field, right = WRONG[wrong]
    refused = refusals.over_rest(await rest.post(f"/api/tasks:{verb}", json=body))
    assert (refused.code, list(refused.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert right in refused.fields[field]


async def test_bulk_operations_work_in_the_client(stack: stacks.Stack, rest: httpx.AsyncClient, queue: str) -> None:
    await fill(rest, queue)
    async with duetime_client.AsyncClient(stack.address) as client:
        assert await client.move_many(queue=queue, to_time=datetime.timedelta(days=2)) == 3
        assert await client.cancel_many(queue=queue, status=duetime_client.Status.PENDING) == 3
        assert await client.retry_many(queue=queue, name="noop") == 3
        assert await client.delete_many(queue=queue) == 3
        with pytest.raises(duetime_client.InvalidArgument, match="which tasks to change") as refused:
            await client.cancel_many()
        assert refused.value.changed == 0
        empty: dict[str, Any]
        for empty in ({"schedule_id": 0}, {"concurrency_key": ""}, {"name": ""}):
            with pytest.raises(duetime_client.InvalidArgument, match=f"^{next(iter(empty))}: must "):
                await client.cancel_many(queue=queue, **empty)


async def test_bulk_operations_work_on_the_command_line(
    stack: stacks.Stack, rest: httpx.AsyncClient, queue: str
) -> None:
    await fill(rest, queue)
    refused = await commands.run(stack, f"bulk cancel --queue {queue}")
    assert (refused.returncode, "standard input is not a terminal" in refused.stderr) == (2, True)
    assert "--all, is required" in (await commands.run(stack, "bulk cancel --yes")).stderr
    for empty in ("--key ''", "--name ''", "--request-id ''", "--name-prefix ''", "--queue ''"):
        refused = await commands.run(stack, f"bulk cancel --status pending --yes {empty}")
        assert (refused.returncode, "must not be empty" in refused.stderr) == (2, True)
    assert (await commands.run(stack, f"bulk move --in 2d --queue {queue} --yes")).stdout == "3 tasks moved\n"
    assert (await commands.run(stack, f"bulk cancel --queue {queue} --yes")).stdout == "3 tasks cancelled\n"
    assert (await commands.run(stack, f"bulk retry --queue {queue} -y --json")).stdout == '{"count": 3}\n'
    assert (await commands.run(stack, f"bulk delete --queue {queue} --yes")).stdout == "3 tasks deleted\n"
