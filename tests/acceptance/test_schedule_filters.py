"""Lists of schedules by their filters, and of tasks by their schedule: over REST, gRPC, the client and commands."""

import json
import uuid
from typing import Any

import grpc
import httpx

import duetime_client
from duetime.v1 import schedule_service_pb2, schedule_service_pb2_grpc
from tests.acceptance import commands, refusals, test_schedules
from tests.support import stacks


async def test_schedules_and_their_tasks_are_found_by_filters(rest: httpx.AsyncClient, stack: stacks.Stack) -> None:
    name, queue = f"named {uuid.uuid4().hex}", f"queue-{uuid.uuid4().hex}"
    task = {"name": "noop", "queue": queue}
    first, second = [(await test_schedules.create(rest, name=name, task=task))["schedule_id"] for _ in range(2)]
    other = (await test_schedules.create(rest, name=name, paused=True))["schedule_id"]

    async def listed(**parameters: Any) -> list[int]:
        found, token = [], ""
        while True:
            page = (await rest.get("/api/schedules", params={**parameters, "page_size": 1, "page_token": token})).json()
            found += [each["schedule_id"] for each in page["schedules"]]
            if not (token := page["next_page_token"]):
                return found

    assert await listed(name=name) == [first, second, other]
    assert await listed(queue=queue) == [first, second]
    assert await listed(name=name, paused=True) == [other]
    assert await listed(name=name, paused=False) == [first, second]
    assert await listed(name=name, queue=queue, paused="true") == []
    page = (await rest.get("/api/schedules", params={"name": name, "page_size": 1})).json()
    token = {"name": "other", "page_token": page["next_page_token"]}
    stale = refusals.over_rest(await rest.get("/api/schedules", params=token))
    assert stale.fields["page_token"].startswith("belongs to another request")
    for empty in ("name", "queue"):
        refused = refusals.over_rest(await rest.get("/api/schedules", params={empty: ""}))
        assert list(refused.fields) == [empty]
    async with grpc.aio.insecure_channel(stack.address) as channel:
        stub: Any = schedule_service_pb2_grpc.ScheduleServiceStub(channel)
        answer = await stub.ListSchedules(schedule_service_pb2.ListSchedulesRequest(queue=queue, paused=False))
        assert [each.schedule_id for each in answer.schedules] == [first, second]
    task_id = (await rest.post(f"/api/schedules/{second}:trigger", json={})).json()["task_id"]
    for order in ("execution_time", "task_id"):
        tasks = (await rest.get("/api/tasks", params={"schedule_id": second, "order_by": order})).json()["tasks"]
        assert {each["schedule_id"] for each in tasks} == {second}
        assert task_id in [each["task_id"] for each in tasks]
        assert len(tasks) == 2
    async with duetime_client.AsyncClient(stack.address) as client:
        assert [each.schedule_id async for each in client.list_schedules(name=name, paused=True)] == [other]
        found = {each.task_id async for each in client.list(schedule_id=second, name_prefix="no")}
        assert found == {each["task_id"] for each in tasks}
    for line, expected in ((f"--name '{name}' --paused", [other]), (f"--queue {queue} --not-paused", [first, second])):
        lines = (await commands.run(stack, f"schedule list {line} --json")).stdout.splitlines()
        assert [json.loads(each)["schedule_id"] for each in lines] == expected
    lines = (await commands.run(stack, f"list --schedule {second} --name-prefix noop --json")).stdout.splitlines()
    assert task_id in [json.loads(each)["task_id"] for each in lines]
    assert (await commands.run(stack, "list --key none --request-id none")).returncode == 0
