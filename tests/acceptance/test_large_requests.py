"""Invalid requests of the maximum size are refused with their field, and do not delay other callers."""

import ast
import asyncio
import json
import pathlib
from typing import Any

import grpc
import httpx
import pytest

from duetime.v1 import task_service_pb2
from duetime_core.model import payload
from tests.acceptance import edges, refusals, requests
from tests.support import processes

LARGE = "must be at most 256 KiB as JSON"
MIB = 1024 * 1024


def filled(body: dict[str, Any], each: str) -> bytes:
    """Returns the body as JSON, with FILL replaced by as many of `each` as fit into a request."""
    template = json.dumps(body)
    count = (MIB - len(template)) // (len(each) + 1)
    return template.replace('"FILL"', ",".join([each] * count)).encode()


DATA = {"a": ["FILL"]}
CREATE = requests.as_json(task_data=DATA)
BATCH = {"requests": [*[requests.as_json()] * 999, CREATE]}
TASK = {"name": "noop", "task_data": DATA}
SCHEDULE = {"name": "large", "interval": "3600s", "task": TASK}
DEEP = '{"a":' * 18 + "[]" + "}" * 18

# The method, the path, the body and the invalid field.
BODIES: dict[str, tuple[str, str, bytes, str]] = {
    "objects": ("POST", "/api/tasks", filled(CREATE, "{}"), "task_data"),
    "numbers": ("POST", "/api/tasks", filled(CREATE, "1"), "task_data"),
    "lists in lists": ("POST", "/api/tasks", filled(CREATE, "[[[[[[[[]]]]]]]]"), "task_data"),
    "deep objects": ("POST", "/api/tasks", filled(CREATE, DEEP), "task_data"),
    "keys": ("POST", "/api/tasks", filled(CREATE, '{"a":1,"b":2}'), "task_data"),
    "a batch of objects": ("POST", "/api/tasks:batchCreate", filled(BATCH, "{}"), "requests[999].task_data"),
    "a batch of numbers": ("POST", "/api/tasks:batchCreate", filled(BATCH, "1"), "requests[999].task_data"),
    "an update": ("PATCH", "/api/tasks/{task_id}", filled({"task_data": DATA}, "{}"), "task_data"),
    "a schedule": ("POST", "/api/schedules", filled(SCHEDULE, "{}"), "task.task_data"),
    "a schedule's update": ("PATCH", "/api/schedules/{schedule_id}", filled({"task": TASK}, "{}"), "task.task_data"),
}


@pytest.mark.parametrize("kind", BODIES)
async def test_eight_large_bodies_are_refused_with_their_field_while_other_callers_are_answered(
    rest: httpx.AsyncClient, stub: Any, queue: str, kind: str
) -> None:
    method, path, content, field = BODIES[kind]
    task_id = (await stub.CreateTask(requests.as_message(queue=queue))).task_id
    schedule = {"name": queue, "interval": "3600s", "paused": True, "task": {"name": "noop", "queue": queue}}
    schedule_id = (await rest.post("/api/schedules", json=schedule)).json()["schedule_id"]
    url = path.format(task_id=task_id, schedule_id=schedule_id)
    clock, took = asyncio.get_running_loop().time, list[float]()
    headers = {"content-type": "application/json"}
    sending = [asyncio.create_task(rest.request(method, url, content=content, headers=headers)) for _ in range(8)]
    while not all(each.done() for each in sending):
        began = clock()
        await stub.GetTaskStatus(task_service_pb2.GetTaskStatusRequest(task_id=task_id))
        took.append(clock() - began)
    for each in sending:
        refusal = refusals.over_rest(each.result())
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, {field: LARGE})
    # Neither Envoy nor the server reads beyond the limit. tests/integration measures the server without Envoy.
    assert max(took) < 5


@pytest.mark.parametrize(
    "text", ["é" * 131_000, "\\u00e9" * 131_000, "\\n" * 131_000], ids=["plain", "escaped", "breaks"]
)
async def test_data_that_is_small_as_compact_json_is_accepted_in_any_notation(
    rest: httpx.AsyncClient, queue: str, text: str
) -> None:
    body = json.dumps(requests.as_json(queue=queue, task_data={"a": "FILL"})).replace("FILL", text)
    response = await rest.post("/api/tasks", content=body.encode(), headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("each", ['"abc"', '"abc" ', "1.5", "1.50", "{}", "[ ]", "{'a': 1}", "-1.25e-7"])
async def test_data_of_the_maximum_size_is_accepted_whatever_it_contains(
    rest: httpx.AsyncClient, queue: str, each: str
) -> None:
    shortest = len(json.dumps(ast.literal_eval(each), separators=(",", ":"))) + 1
    data = ",".join([each] * ((payload.MAX_BYTES - 100) // shortest))
    body = json.dumps(requests.as_json(queue=queue, task_data=DATA)).replace('"FILL"', data)
    response = await rest.post("/api/tasks", content=body.encode(), headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text


async def test_a_far_too_long_batch_is_refused_before_it_is_transcoded(tmp_path: pathlib.Path) -> None:
    # Transcoding it would block a thread of Envoy, and its other callers, for 0.1 s. No server runs here to refuse it.
    async with edges.running(tmp_path, f"127.0.0.1:{processes.free_port()}") as client:
        content = filled({"requests": ["FILL"]}, "{}")
        headers = {"content-type": "application/json"}
        response = await client.post("/api/tasks:batchCreate", content=content, headers=headers)
        assert response.status_code == 400, response.text
        assert "requests" in refusals.over_rest(response).fields
