"""An update is validated like a create, and a refused update changes nothing."""

from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from duetime.v1 import task_pb2, task_service_pb2
from tests.acceptance import refusals, requests

INVALID = grpc.StatusCode.INVALID_ARGUMENT

# The body as JSON, the message, and the invalid field.
WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an empty name": ({"name": ""}, {"name": ""}, "name"),
    "a long name": ({"name": "x" * 256}, {"name": "x" * 256}, "name"),
    "NUL in the name": ({"name": "\0"}, {"name": "\0"}, "name"),
    "a queue with spaces": ({"queue": "A B"}, {"queue": "A B"}, "queue"),
    "too many retries": ({"max_retries": 1001}, {"max_retries": 1001}, "max_retries"),
    "no time to run": ({"timeout": "0s"}, {"timeout": duration_pb2.Duration()}, "timeout"),
    "more jitter than backoff": (
        {"retry_policy": {"jitter": 2}},
        {"retry_policy": task_pb2.RetryPolicy(jitter=2)},
        "retry_policy.jitter",
    ),
    "NUL in the data": (
        {"task_data": {"a": "\0"}},
        {"task_data": requests.struct({"a": "\0"})},
        "task_data.a",
    ),
    "a time past the last": (
        {"execution_time": "9999-12-31T23:59:59.999999999Z"},
        {"execution_time": timestamp_pb2.Timestamp(seconds=253402300799, nanos=999_999_999)},
        "execution_time",
    ),
    "one right and one wrong": (
        {"name": "new", "max_retries": 1001},
        {"name": "new", "max_retries": 1001},
        "max_retries",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_invalid_update_is_refused_and_changes_nothing(rest: httpx.AsyncClient, stub: Any, wrong: str) -> None:
    body, fields, field = WRONG[wrong]
    task_id = (await stub.CreateTask(requests.as_message())).task_id
    before = await stub.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id))
    over_grpc = await refusals.over_grpc(stub.UpdateTask(task_service_pb2.UpdateTaskRequest(task_id=task_id, **fields)))
    for method in ("PUT", "PATCH"):
        response = await rest.request(method, f"/api/tasks/{task_id}", json=body)
        assert response.status_code == 400
        assert refusals.over_rest(response) == over_grpc
    assert (over_grpc.code, list(over_grpc.fields)) == (INVALID, [field])
    assert await stub.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id)) == before


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_a_finished_task_cannot_be_updated(rest: httpx.AsyncClient, stub: Any, queue: str, status: str) -> None:
    if status == "cancelled":
        task_id = (await stub.CreateTask(requests.as_message(queue=queue))).task_id
        await stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=task_id))
    else:
        name = {"completed": "noop", "failed": "never"}[status]
        task_id = (await stub.CreateTask(requests.as_message(name=name, execution_time=requests.at(0)))).task_id
        async for _ in stub.WatchTask(task_service_pb2.WatchTaskRequest(task_id=task_id)):
            pass
    before = (await rest.get(f"/api/tasks/{task_id}")).json()
    assert before["status"] == status
    response = await rest.patch(f"/api/tasks/{task_id}", json={"name": "other"})
    assert response.status_code == 400
    refusal = refusals.over_rest(response)
    assert (refusal.reason, refusal.metadata) == ("TASK_NOT_PENDING", {"status": status})
    assert refusal.message == f"Only a pending task can be updated. Task {task_id} is {status}."
    assert (await rest.get(f"/api/tasks/{task_id}")).json() == before


async def test_a_pending_task_cannot_be_retried(rest: httpx.AsyncClient, stub: Any) -> None:
    task_id = (await stub.CreateTask(requests.as_message())).task_id
    response = await rest.post(f"/api/tasks/{task_id}:retry")
    assert response.status_code == 400
    refusal = refusals.over_rest(response)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_RETRYABLE")
    assert refusal.message == f"Only a failed or cancelled task can be retried. Task {task_id} is pending."


async def test_a_task_can_be_deleted_only_once(rest: httpx.AsyncClient, stub: Any) -> None:
    request = task_service_pb2.DeleteTaskRequest(task_id=(await stub.CreateTask(requests.as_message())).task_id)
    await stub.DeleteTask(request)
    response = await rest.delete(f"/api/tasks/{request.task_id}")
    assert response.status_code == 404
    assert refusals.over_rest(response) == await refusals.over_grpc(stub.DeleteTask(request))
    logs = (await rest.get(f"/api/tasks/{request.task_id}/logs")).json()["logs"]
    assert [log["change"] for log in logs] == ["created", "deleted"]


@pytest.mark.parametrize("rpc", ["Update", "Delete", "Cancel", "Retry", "Get"])
async def test_no_task_has_the_id_0(stub: Any, rpc: str) -> None:
    more = {"name": "a"} if rpc == "Update" else {}
    request = getattr(task_service_pb2, f"{rpc}TaskRequest")(**more)
    refusal = await refusals.over_grpc(getattr(stub, f"{rpc}Task")(request))
    assert (refusal.code, refusal.fields) == (INVALID, {"task_id": "must be from 1 to 4294967295, not 0"})
