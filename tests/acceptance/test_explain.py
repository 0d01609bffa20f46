"""Explanations why a task does not run, and the list of workers, over every interface."""

import asyncio
import json

import httpx

import duetime_client
from tests.acceptance import commands, refusals, requests
from tests.support import clients, stacks


async def codes(rest: httpx.AsyncClient, task_id: int) -> list[str]:
    explained = (await rest.get(f"/api/tasks/{task_id}:explain")).json()
    assert explained["task_id"] == task_id
    return [reason["code"] for reason in explained["reasons"]]


async def test_a_pending_task_is_explained(rest: httpx.AsyncClient, queue: str) -> None:
    task_id = (await rest.post("/api/tasks", json=requests.as_json(queue=queue))).json()["task_id"]
    assert await codes(rest, task_id) == ["NOT_DUE", "NO_WORKER_FOR_QUEUE"]
    await rest.post(f"/api/queues/{queue}:pause", json={})
    assert await codes(rest, task_id) == ["NOT_DUE", "QUEUE_PAUSED", "NO_WORKER_FOR_QUEUE"]
    assert refusals.over_rest(await rest.get("/api/tasks/4000000000:explain")).reason == "TASK_NOT_FOUND"


async def test_a_running_or_finished_task_is_explained(stack: stacks.Stack) -> None:
    async with duetime_client.AsyncClient(stack.address) as client:
        task_id = await client.create("sleep", clients.NOW, {"seconds": 60})
        await clients.reached(client, task_id, "started")
        explained = await client.explain(task_id)
        assert [reason.code for reason in explained.reasons] == ["RUNNING"]
        assert explained.reasons[0].message.startswith("The task is running on worker ")
        await client.cancel(task_id)
        explained = await client.explain(task_id)
        assert (explained.status, explained.reasons[0].code) == ("cancelled", "FINISHED")


async def test_the_worker_of_the_stack_is_listed(stack: stacks.Stack) -> None:
    async with duetime_client.AsyncClient(stack.address) as client:
        async with asyncio.timeout(10):
            while not (workers := await client.list_workers()):  # noqa: ASYNC110 - heartbeats send no event
                await asyncio.sleep(0.1)
        (worker,) = workers
        assert (worker.queues, worker.alive) == (("default",), True)
        assert "Send Email" in worker.handlers
        assert worker.worker_id in (await commands.run(stack, "workers")).stdout
        task_id = await client.create("noop", requests.at(86_400))
        assert (await commands.run(stack, f"explain {task_id}")).stdout.startswith("The task is due at ")
        as_json = (await commands.run(stack, f"explain {task_id} --json")).stdout
        assert json.loads(as_json)["reasons"][0]["code"] == "NOT_DUE"
