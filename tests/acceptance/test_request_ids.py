"""Reusing the request_id of a deleted or cancelled task, or of a deleted schedule, is refused with that reason."""

import datetime
import json
from typing import Any

import grpc
import httpx
import pytest

import duetime_client
from duetime.v1 import task_service_pb2
from tests.acceptance import commands, refusals, requests
from tests.support import stacks

TAKEN_AWAY = pytest.mark.parametrize(
    ("method", "verb", "reason"),
    [("POST", ":cancel", "REQUEST_ID_OF_CANCELLED_TASK"), ("DELETE", "", "REQUEST_ID_OF_DELETED_TASK")],
    ids=["cancelled", "deleted"],
)


async def taken_away(rest: httpx.AsyncClient, task_id: int, method: str, verb: str) -> None:
    done = await rest.request(method, f"/api/tasks/{task_id}{verb}", json={} if method == "POST" else None)
    assert done.status_code == 200


@TAKEN_AWAY
async def test_a_create_with_the_request_id_of_a_deleted_or_cancelled_task_is_refused(
    rest: httpx.AsyncClient, stub: Any, queue: str, method: str, verb: str, reason: str
) -> None:
    due = requests.at(86400)
    body = requests.as_json(queue=queue, request_id=queue, execution_time=due.isoformat())
    task_id = (await rest.post("/api/tasks", json=body)).json()["task_id"]
    await taken_away(rest, task_id, method, verb)
    message = requests.as_message(queue=queue, request_id=queue, execution_time=due)
    other = requests.as_message(queue=queue)
    for refused in (
        refusals.over_rest(await rest.post("/api/tasks", json=body)),
        refusals.over_rest(await rest.post("/api/tasks:batchCreate", json={"requests": [requests.as_json(), body]})),
        await refusals.over_grpc(stub.CreateTask(message)),
        await refusals.over_grpc(
            stub.BatchCreateTasks(task_service_pb2.BatchCreateTasksRequest(requests=[other, message]))
        ),
    ):
        assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, reason)
        assert refused.metadata == {"request_id": queue, "task_id": str(task_id)}
        assert "use another request_id" in refused.message.lower()
    reused = refusals.over_rest(await rest.post("/api/tasks", json={**body, "name": "other"}))
    assert reused.reason == "REQUEST_ID_REUSED"
    assert f"it created task {task_id} ({'deleted' if method == 'DELETE' else 'cancelled'})" in reused.message
    listed = (await rest.get("/api/tasks", params={"queue": queue})).json()["tasks"]
    assert len(listed) == (0 if method == "DELETE" else 1)  # the batches created nothing


async def test_a_create_returns_a_cancelled_task_again_after_its_retry(rest: httpx.AsyncClient, queue: str) -> None:
    body = requests.as_json(queue=queue, request_id=queue)
    made = (await rest.post("/api/tasks", json=body)).json()
    await taken_away(rest, made["task_id"], "POST", ":cancel")
    await taken_away(rest, made["task_id"], "POST", ":retry")
    assert (await rest.post("/api/tasks", json=body)).json() == made


async def test_the_client_and_the_command_line_report_it(
    stack: stacks.Stack, rest: httpx.AsyncClient, queue: str
) -> None:
    due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    new = duetime_client.NewTask("noop", due, queue=queue, request_id=queue)
    line = f"create noop --at {due.isoformat()} --queue {queue} --request-id {queue}"
    async with duetime_client.AsyncClient(stack.address) as client:
        (task_id,) = await client.create_many([new])
        await client.cancel(task_id)
        with pytest.raises(duetime_client.RequestIdOfCancelledTask) as refused:
            await client.create("noop", due, queue=queue, request_id=queue)
        assert refused.value.metadata["task_id"] == str(task_id)
        result = await commands.run(stack, line)
        assert (result.returncode, f"created task {task_id}, which was cancelled" in result.stderr) == (4, True)
        await client.delete(task_id)
        with pytest.raises(duetime_client.RequestIdOfDeletedTask):
            await client.create_many([duetime_client.NewTask("noop", due, queue=queue), new])
        result = await commands.run(stack, f"{line} --json")
        assert (result.returncode, json.loads(result.stderr)["details"][0]["reason"]) == (
            4,
            "REQUEST_ID_OF_DELETED_TASK",
        )


@TAKEN_AWAY
async def test_a_trigger_with_the_request_id_of_a_deleted_or_cancelled_task_is_refused(
    stack: stacks.Stack, rest: httpx.AsyncClient, queue: str, method: str, verb: str, reason: str
) -> None:
    body = {"name": "s", "interval": "86400s", "task": {"name": "noop", "queue": queue}, "request_id": queue}
    path = f"/api/schedules/{(await rest.post('/api/schedules', json=body)).json()['schedule_id']}"
    trigger = {"request_id": f"{queue} now"}
    triggered = (await rest.post(f"{path}:trigger", json=trigger)).json()
    assert (await rest.post(f"{path}:trigger", json=trigger)).json() == triggered
    await taken_away(rest, triggered["task_id"], method, verb)
    refused = refusals.over_rest(await rest.post(f"{path}:trigger", json=trigger))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, reason)
    line = f"schedule trigger {path.rpartition('/')[2]} --request-id '{queue} now' --json"
    result = await commands.run(stack, line)
    assert (result.returncode, json.loads(result.stderr)["details"][0]["reason"]) == (4, reason)


async def test_a_create_with_the_request_id_of_a_deleted_schedule_is_refused(
    stack: stacks.Stack, rest: httpx.AsyncClient, queue: str
) -> None:
    async with duetime_client.AsyncClient(stack.address) as client:
        template = duetime_client.TaskTemplate("noop", queue=queue)
        day = datetime.timedelta(days=1)
        made = await client.create_schedule("s", template, interval=day, request_id=queue)
        await client.delete_schedule(made.schedule_id)
        with pytest.raises(duetime_client.RequestIdOfDeletedSchedule, match="was deleted") as refused:
            await client.create_schedule("s", template, interval=day, request_id=queue)
    assert refused.value.metadata == {"request_id": queue, "schedule_id": str(made.schedule_id)}
