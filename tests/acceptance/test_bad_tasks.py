"""An invalid task is refused with its fields over both transports, and nothing is created."""

import datetime
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import duration_pb2, json_format, struct_pb2, timestamp_pb2

from duetime.v1 import task_pb2, task_service_pb2
from duetime_core.model import payload
from tests.acceptance import refusals, requests

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


# The body as JSON, the invalid field, and its description in the response.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no name": ({"name": None}, "name", "is required: the name of the handler that runs the task"),
    "an empty name": ({"name": ""}, "name", "is required"),
    "a blank name": ({"name": " \t"}, "name", "is required"),
    "a long name": ({"name": "x" * 256}, "name", "must be at most 255 characters; it has 256"),
    "NUL in the name": ({"name": "a\0b"}, "name", "must not contain control characters; it has U+0000"),
    "ESC in the name": ({"name": "\x1b]0;x\x07"}, "name", "must not contain control characters; it has U+001B"),
    "a line in the name": ({"name": "a\u2028b"}, "name", "must not contain control characters; it has U+2028"),
    "LF in the key": (
        {"concurrency_key": "a\n"},
        "concurrency_key",
        "must not contain control characters; it has U+000A",
    ),
    "C1 in the request_id": (
        {"request_id": "\x9b31m"},
        "request_id",
        "must not contain control characters; it has U+009B",
    ),
    "no time": ({"execution_time": None}, "execution_time", "is required: when the task is due"),
    "a queue with spaces": ({"queue": "my queue"}, "queue", "must be 1 to 100 characters of a-z, 0-9"),
    "a long queue": ({"queue": "q" * 101}, "queue", "must be 1 to 100 characters"),
    "too many retries": ({"max_retries": 1001}, "max_retries", "must be from 0 to 1000"),
    "no time to run": ({"timeout": "0s"}, "timeout", "must be from 0.001 s to 7 days"),
    "a negative timeout": ({"timeout": "-1s"}, "timeout", "must be from 0.001 s to 7 days"),
    "a week to run": ({"timeout": "604801s"}, "timeout", "must be from 0.001 s to 7 days"),
    "a negative backoff": (
        {"retry_policy": {"initial_backoff": "-1s"}},
        "retry_policy.initial_backoff",
        "must be from 0 s to 30 days",
    ),
    "a maximum below the first backoff": (
        {"retry_policy": {"initial_backoff": "10s", "max_backoff": "5s"}},
        "retry_policy.max_backoff",
        "must not be shorter than initial_backoff",
    ),
    "a shrinking backoff": ({"retry_policy": {"multiplier": 0.5}}, "retry_policy.multiplier", "must be from 1 to 100"),
    "more jitter than backoff": ({"retry_policy": {"jitter": 1.1}}, "retry_policy.jitter", "must be from 0 to 1"),
    "a long request_id": ({"request_id": "r" * 129}, "request_id", "must be at most 128 characters; it has 129"),
    "NUL in the request_id": (
        {"request_id": "a\0"},
        "request_id",
        "must not contain control characters; it has U+0000",
    ),
    "NUL in the data": ({"task_data": {"a": [{"b": "\0"}]}}, "task_data.a[0].b", "must not contain the NUL character"),
    "NUL in a key": ({"task_data": {"a\0": 1}}, "task_data", "must not contain the NUL character"),
    "deep data": ({"task_data": nested(21)}, "task_data", "must be nested at most 20 levels deep"),
    "large data": ({"task_data": {"a": "x" * payload.MAX_BYTES}}, "task_data", "must be at most 256 KiB as JSON"),
}


def as_message(body: dict[str, Any]) -> task_service_pb2.CreateTaskRequest:
    """Returns the message that Envoy makes of the JSON."""
    converted = dict(body)
    if "task_data" in body:
        converted["task_data"] = requests.struct(body["task_data"])
    if "timeout" in body:
        converted["timeout"] = duration(body["timeout"])
    if "retry_policy" in body:
        converted["retry_policy"] = json_format.ParseDict(body["retry_policy"], task_pb2.RetryPolicy())
    return requests.as_message(**converted)


def duration(text: str) -> duration_pb2.Duration:
    message = duration_pb2.Duration()
    message.FromJsonString(text)
    return message


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_invalid_task_is_refused_over_grpc_with_the_field(stub: Any, queue: str, wrong: str) -> None:
    body, field, description = WRONG[wrong]
    refusal = await refusals.over_grpc(stub.CreateTask(as_message({"queue": queue, **body})))
    assert (refusal.code, refusal.reason, list(refusal.fields)) == (INVALID, "INVALID_ARGUMENT", [field])
    assert refusal.fields[field].startswith(description)
    assert refusal.message == f"{field}: {refusal.fields[field]}"
    listed = await stub.ListTasks(task_service_pb2.ListTasksRequest(queue=queue))
    assert not listed.tasks


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_invalid_task_is_refused_over_rest_with_the_field(
    rest: httpx.AsyncClient, queue: str, wrong: str
) -> None:
    body, field, description = WRONG[wrong]
    response = await rest.post("/api/tasks", json=requests.as_json(**{"queue": queue, **body}))
    assert response.status_code == 400
    refusal = refusals.over_rest(response)
    assert (refusal.code, refusal.reason, list(refusal.fields)) == (INVALID, "INVALID_ARGUMENT", [field])
    assert refusal.fields[field].startswith(description)
    assert (await rest.get("/api/tasks", params={"queue": queue})).json()["tasks"] == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"name": 5}', "name"),
        ('{"name": {"a": 1}}', "name"),
        ('{"execution_time": "2026-01-01T00:00:00"}', "execution_time"),
        ('{"execution_time": "tomorrow"}', "execution_time"),
        ('{"execution_time": 1764000000}', "execution_time"),
        ('{"execution_time": "2026-02-30T00:00:00Z"}', "execution_time"),
        ('{"task_data": [1, 2]}', "task_data"),
        ('{"task_data": "text"}', "task_data"),
        ('{"max_retries": -1}', "max_retries"),
        ('{"max_retries": "many"}', "max_retries"),
        ('{"timeout": "soon"}', "timeout"),
        ('{"timeout": 5}', "timeout"),
        ('{"retry_policy": 3}', "retry_policy"),
        ('{"name": "a"', ""),
        ("[]", ""),
        ("name=a", ""),
        ('{"task_data": ' + '{"a":' * 200 + "1" + "}" * 200 + "}", ""),
        (b'{"name": "\xff\xfe"}', ""),
    ],
)
async def test_json_of_the_wrong_type_is_refused_by_envoy_with_the_field(
    rest: httpx.AsyncClient, body: str | bytes, named: str
) -> None:
    response = await rest.post("/api/tasks", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    refusal = refusals.over_rest(response)
    assert refusal.code is INVALID
    assert named in refusal.message


@pytest.mark.parametrize(
    "changes",
    [
        {"execution_time": timestamp_pb2.Timestamp(seconds=253402300800)},
        {"execution_time": timestamp_pb2.Timestamp(seconds=-62135596801)},
        {"execution_time": timestamp_pb2.Timestamp(seconds=0, nanos=-1)},
        {"execution_time": timestamp_pb2.Timestamp(seconds=0, nanos=1_000_000_000)},
        {"execution_time": timestamp_pb2.Timestamp(seconds=253402300799, nanos=999_999_999)},
    ],
    ids=["after the year 9999", "before the year 1", "negative nanos", "a second of nanos", "rounded up past 9999"],
)
async def test_a_time_outside_of_protobufs_range_is_refused(stub: Any, changes: dict[str, Any]) -> None:
    refusal = await refusals.over_grpc(stub.CreateTask(requests.as_message(**changes)))
    (described,) = refusal.fields.values()
    assert described.startswith("must be a time between the years 1 and 9999, not ")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
async def test_nan_and_infinity_are_refused(stub: Any, number: float) -> None:
    data = struct_pb2.Struct(fields={"a": struct_pb2.Value(number_value=number)})
    refusal = await refusals.over_grpc(stub.CreateTask(requests.as_message(task_data=data)))
    assert refusal.fields == {"task_data.a": "must be a finite number"}


async def test_all_violations_are_reported_at_once(rest: httpx.AsyncClient) -> None:
    body = {"name": "", "queue": "A B", "max_retries": 5000}
    refusal = refusals.over_rest(await rest.post("/api/tasks", json=body))
    assert list(refusal.fields) == ["name", "execution_time", "queue", "max_retries"]


async def test_data_at_the_limits_is_accepted_and_returned_unchanged(rest: httpx.AsyncClient) -> None:
    for data in (nested(20), {"a": "ü" * 100_000}, {"n": 2**53 - 1, "m": -(2**53 - 1), "f": 1e-300}):
        created = await rest.post("/api/tasks", json=requests.as_json(task_data=data))
        assert created.status_code == 200, created.text
        assert (await rest.get(f"/api/tasks/{created.json()['task_id']}")).json()["task_data"] == data


async def test_a_time_is_rounded_up_so_that_a_task_is_never_early(stub: Any) -> None:
    moment = timestamp_pb2.Timestamp(seconds=4102444800, nanos=1)
    task_id = (await stub.CreateTask(requests.as_message(execution_time=moment))).task_id
    task = await stub.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id))
    assert task.execution_time.ToDatetime(datetime.UTC) == datetime.datetime(2100, 1, 1, 0, 0, 0, 1, datetime.UTC)


async def test_an_invalid_task_in_a_batch_is_named_and_nothing_is_created(rest: httpx.AsyncClient, queue: str) -> None:
    bodies = [requests.as_json(queue=queue) for _ in range(5)]
    bodies[3]["name"] = ""
    response = await rest.post("/api/tasks:batchCreate", json={"requests": bodies})
    assert list(refusals.over_rest(response).fields) == ["requests[3].name"]
    assert (await rest.get("/api/tasks", params={"queue": queue})).json()["tasks"] == []


async def test_a_reused_request_id_in_a_batch_creates_nothing(rest: httpx.AsyncClient, queue: str) -> None:
    await rest.post("/api/tasks", json=requests.as_json(queue=queue, request_id=queue))
    bodies = [requests.as_json(queue=queue), requests.as_json(queue=queue, request_id=queue, name="other")]
    response = await rest.post("/api/tasks:batchCreate", json={"requests": bodies})
    assert refusals.over_rest(response).reason == "REQUEST_ID_REUSED"
    assert len((await rest.get("/api/tasks", params={"queue": queue})).json()["tasks"]) == 1


@pytest.mark.parametrize("size", [0, 1001])
async def test_an_empty_or_too_large_batch_is_refused(stub: Any, size: int) -> None:
    batch = task_service_pb2.BatchCreateTasksRequest(requests=[task_service_pb2.CreateTaskRequest()] * size)
    refusal = await refusals.over_grpc(stub.BatchCreateTasks(batch))
    assert refusal.fields == {"requests": f"must be 1 to 1000 tasks; there are {size}"}


async def test_a_request_above_1_mib_is_refused(rest: httpx.AsyncClient, stub: Any) -> None:
    data = {"a": "x" * 1024 * 1024}
    response = await rest.post("/api/tasks", json=requests.as_json(task_data=data))
    assert response.status_code == 413
    assert "1 MiB" in refusals.over_rest(response).message
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.CreateTask(requests.as_message(task_data=requests.struct(data)))
    assert refused.value.code() in (INVALID, grpc.StatusCode.RESOURCE_EXHAUSTED)
