"""Error responses stay small, however many and however long the invalid values are."""

from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import field_mask_pb2

from duetime.v1 import task_service_pb2
from tests.acceptance import refusals, requests

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def wrong_create(key: str) -> dict[str, Any]:
    return requests.as_json(task_data={key: "\0"})


LONG = {
    "a key": "k" * 100_000,
    "a key that is not ASCII": "ü" * 100_000,
    "a key beyond the basic plane": "\U0001f600" * 50_000,
}


@pytest.mark.parametrize("long", LONG)
async def test_a_long_key_is_quoted_shortened(rest: httpx.AsyncClient, stub: Any, long: str) -> None:
    key = LONG[long]
    over_rest = refusals.over_rest(await rest.post("/api/tasks", json=wrong_create(key)))
    wrong = requests.as_message(task_data=requests.struct({key: "\0"}))
    over_grpc = await refusals.over_grpc(stub.CreateTask(wrong))
    assert over_rest == over_grpc
    assert over_grpc.code is INVALID
    (field,) = over_grpc.fields
    assert field.startswith(f"task_data.{key[:50]}")
    assert field.endswith("…")
    assert len(field) == 100


async def test_a_long_mask_is_quoted_shortened(rest: httpx.AsyncClient, stub: Any) -> None:
    task_id = (await stub.CreateTask(requests.as_message())).task_id
    long_mask = ["x" * 50_000, *(f"{'y' * 500}{number}" for number in range(100))]
    update = task_service_pb2.UpdateTaskRequest(task_id=task_id, update_mask=field_mask_pb2.FieldMask(paths=long_mask))
    over_grpc = await refusals.over_grpc(stub.UpdateTask(update))
    response = await rest.patch(f"/api/tasks/{task_id}", json={"update_mask": ",".join(long_mask)})
    for refusal in (over_grpc, refusals.over_rest(response)):
        assert (refusal.code, list(refusal.fields)) == (INVALID, ["update_mask"])
        assert refusal.message.startswith(f"update_mask: names '{'x' * 99}…'; must be one of name, ")


async def test_a_thousand_invalid_tasks_are_answered_with_the_first_violations(
    rest: httpx.AsyncClient, stub: Any, queue: str
) -> None:
    tasks = [
        requests.as_message(queue=queue),
        *[task_service_pb2.CreateTaskRequest(queue="A B", max_retries=5000)] * 999,
    ]
    refusal = await refusals.over_grpc(stub.BatchCreateTasks(task_service_pb2.BatchCreateTasksRequest(requests=tasks)))
    body = {"requests": [requests.as_json(queue=queue), *[{"queue": "A B", "max_retries": 5000}] * 999]}
    assert refusals.over_rest(await rest.post("/api/tasks:batchCreate", json=body)) == refusal
    assert list(refusal.fields)[:5] == [
        "requests[1].name",
        "requests[1].execution_time",
        "requests[1].queue",
        "requests[1].max_retries",
        "requests[2].name",
    ]
    assert not (await stub.ListTasks(task_service_pb2.ListTasksRequest(queue=queue))).tasks


async def test_an_invalid_call_does_not_end_concurrent_calls(rest: httpx.AsyncClient, stub: Any, queue: str) -> None:
    watching = stub.WatchTasks(task_service_pb2.WatchTasksRequest(queue=queue))
    assert (await watching.read()).WhichOneof("event") == "heartbeat"
    # Envoy has a connection to the server per thread: one of these calls shares the watch's.
    for _ in range(8):
        async with httpx.AsyncClient(base_url=rest.base_url) as other:
            assert (await other.post("/api/tasks", json=wrong_create("k" * 200_000))).status_code == 400
    task_id = (await stub.CreateTask(requests.as_message(queue=queue))).task_id
    assert (await watching.read()).change.task_id == task_id
    watching.cancel()
