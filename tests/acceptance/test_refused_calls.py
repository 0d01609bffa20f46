"""Calls that are not allowed are refused with the reason over both transports, and change nothing."""

import datetime
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from google.protobuf import field_mask_pb2

from duetime.v1 import task_service_pb2
from tests.acceptance import refusals, requests
from tests.support import stacks

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


async def create(stub: Any, **changes: Any) -> int:
    task_id: int = (await stub.CreateTask(requests.as_message(**changes))).task_id
    return task_id


async def run(stub: Any, until: str, **changes: Any) -> int:
    """Creates a due task, and returns its id after that change."""
    task_id = await create(stub, execution_time=requests.at(0), **changes)
    async for event in stub.WatchTask(task_service_pb2.WatchTaskRequest(task_id=task_id)):
        if event.change.change == until:
            break
    return task_id


async def version(stub: Any, task_id: int) -> int:
    task = await stub.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id))
    return int(task.version)


async def test_a_running_task_can_be_neither_updated_nor_deleted(rest: httpx.AsyncClient, stub: Any) -> None:
    task_id = await run(stub, "started", name="sleep", task_data=requests.struct({"seconds": 3600}))
    update = task_service_pb2.UpdateTaskRequest(task_id=task_id, name="other")
    delete = task_service_pb2.DeleteTaskRequest(task_id=task_id)
    by_call = {
        "TASK_NOT_PENDING": (stub.UpdateTask(update), rest.patch(f"/api/tasks/{task_id}", json={"name": "other"})),
        "TASK_RUNNING": (stub.DeleteTask(delete), rest.delete(f"/api/tasks/{task_id}")),
        "TASK_NOT_RETRYABLE": (
            stub.RetryTask(task_service_pb2.RetryTaskRequest(task_id=task_id)),
            rest.post(f"/api/tasks/{task_id}:retry", json={}),
        ),
    }
    for reason, (call, request) in by_call.items():
        response = await request
        assert response.status_code == 400
        for refusal in (await refusals.over_grpc(call), refusals.over_rest(response)):
            assert (refusal.code, refusal.reason, refusal.metadata) == (PRECONDITION, reason, {"status": "running"})
            assert refusal.message.endswith(f"Task {task_id} is running.")
    assert await version(stub, task_id) == 2
    await stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=task_id))


async def test_a_completed_task_can_be_neither_cancelled_nor_retried(rest: httpx.AsyncClient, stub: Any) -> None:
    task_id = await run(stub, "completed")
    for verb, reason in (("cancel", "TASK_FINISHED"), ("retry", "TASK_NOT_RETRYABLE")):
        response = await rest.post(f"/api/tasks/{task_id}:{verb}", json={})
        assert response.status_code == 400
        refusal = refusals.over_rest(response)
        assert (refusal.code, refusal.reason, refusal.metadata) == (PRECONDITION, reason, {"status": "completed"})
    assert await version(stub, task_id) == 3


async def test_a_stale_version_is_refused_with_the_current_one(rest: httpx.AsyncClient, stub: Any) -> None:
    task_id = await create(stub)
    assert (await rest.patch(f"/api/tasks/{task_id}", json={"name": "second", "version": 1})).status_code == 200
    response = await rest.patch(f"/api/tasks/{task_id}", json={"name": "third", "version": 1})
    assert response.status_code == 409
    stale = task_service_pb2.UpdateTaskRequest(task_id=task_id, name="third", version=1)
    for refusal in (refusals.over_rest(response), await refusals.over_grpc(stub.UpdateTask(stale))):
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH")
        assert refusal.metadata == {"version": "2"}
    assert (await stub.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id))).name == "second"


async def test_an_update_that_changes_nothing_is_refused(rest: httpx.AsyncClient, stub: Any) -> None:
    task_id = await create(stub)
    refusal = refusals.over_rest(await rest.patch(f"/api/tasks/{task_id}", json={}))
    assert refusal.fields["update_mask"].startswith("nothing to change: send at least one of name, execution_time")
    assert await version(stub, task_id) == 1


async def test_a_mask_selects_the_fields_that_change_and_clears_absent_ones(rest: httpx.AsyncClient, stub: Any) -> None:
    task_id = await create(stub, max_retries=7, task_data=requests.struct({"a": 1}))
    body = {"name": "not this", "update_mask": "maxRetries,taskData,timeout"}
    response = await rest.patch(f"/api/tasks/{task_id}", json=body)
    assert response.status_code == 200, response.text
    task = (await rest.get(f"/api/tasks/{task_id}")).json()
    assert (task["name"], task["max_retries"], task["task_data"]) == ("noop", 3, {})


@pytest.mark.parametrize(
    ("paths", "field", "description"),
    [
        (["status"], "update_mask", "names 'status'; must be one of name, "),
        (["name"], "name", "is required"),
        (["execution_time"], "execution_time", "is required"),
    ],
)
async def test_an_invalid_mask_is_refused(stub: Any, paths: list[str], field: str, description: str) -> None:
    request = task_service_pb2.UpdateTaskRequest(
        task_id=await create(stub), update_mask=field_mask_pb2.FieldMask(paths=paths)
    )
    refusal = await refusals.over_grpc(stub.UpdateTask(request))
    assert refusal.fields[field].startswith(description)


@pytest.mark.parametrize("rpc", ["Get", "Update", "Delete", "Cancel", "Retry"])
async def test_a_missing_task_is_not_found(stub: Any, rpc: str) -> None:
    more = {"name": "a"} if rpc == "Update" else {}
    request = getattr(task_service_pb2, f"{rpc}TaskRequest")(task_id=2**32 - 1, **more)
    refusal = await refusals.over_grpc(getattr(stub, f"{rpc}Task")(request))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert refusal.message == "There is no task 4294967295."


@pytest.mark.parametrize("path", ["", "/status", "/logs", ":watch"])
async def test_resources_of_a_missing_task_are_not_found_over_rest(rest: httpx.AsyncClient, path: str) -> None:
    response = await rest.get(f"/api/tasks/4294967295{path}")
    assert (response.status_code, refusals.over_rest(response).reason) == (404, "TASK_NOT_FOUND")


@pytest.mark.parametrize("task_id", ["0", "-1", "4294967296", "99999999999999999999", "abc", "1.5", "%00"])
async def test_an_impossible_task_id_is_refused(rest: httpx.AsyncClient, task_id: str) -> None:
    for path in ("", "/status", "/logs", ":watch"):
        response = await rest.get(f"/api/tasks/{task_id}{path}")
        assert response.status_code == 400, response.text
        assert "task_id" in refusals.over_rest(response).message


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"page_size": "1001"}, "page_size: must be at most 1000"),
        ({"page_size": "-1"}, "page_size"),
        ({"page_size": "many"}, "page_size"),
        ({"page_token": "nonsense"}, "page_token: must be a value that the server returned, unchanged"),
        ({"page_token": "é"}, "page_token"),
        ({"order_by": "name"}, "order_by: must be one of: execution_time, execution_time desc, task_id, task_id desc"),
        ({"status": "waiting"}, "status"),
        ({"status": "unspecified"}, "status: must be one of pending, running, completed, failed, cancelled"),
        ({"due_from": "yesterday"}, "due_from"),
        ({"due_from": "2026-01-01T00:00:00"}, "due_from"),
        ({"queue": "A B"}, "queue"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_an_invalid_page_or_filter_is_refused(
    rest: httpx.AsyncClient, parameters: dict[str, str], named: str
) -> None:
    response = await rest.get("/api/tasks", params=parameters)
    assert response.status_code == 400, response.text
    assert named in refusals.over_rest(response).message


async def test_an_unknown_status_is_refused_over_grpc(stub: Any) -> None:
    request = task_service_pb2.ListTasksRequest()
    request.status.append(99)  # type: ignore[arg-type]
    refusal = await refusals.over_grpc(stub.ListTasks(request))
    assert refusal.fields == {"status": "must be one of pending, running, completed, failed, cancelled, not 99"}


async def test_a_page_token_of_another_listing_is_refused(rest: httpx.AsyncClient, stub: Any, queue: str) -> None:
    for _ in range(2):
        await create(stub, queue=queue)
    listing = {"queue": queue, "page_size": "1"}
    token = (await rest.get("/api/tasks", params=listing)).json()["next_page_token"]
    for other in ({"queue": queue, "status": "pending"}, {"queue": queue, "order_by": "task_id"}, {}):
        refusal = refusals.over_rest(await rest.get("/api/tasks", params={**other, "page_token": token}))
        assert refusal.fields == {
            "page_token": "belongs to another request: use it with the same task, filter and order"
        }


async def test_a_cursor_of_another_database_is_refused(stub: Any, rest: httpx.AsyncClient, queue: str) -> None:
    one, other = await create(stub, queue=queue), await create(stub, queue=queue)
    cursor = (await anext(aiter(stub.WatchTask(task_service_pb2.WatchTaskRequest(task_id=one))))).cursor
    of_all = (await anext(aiter(stub.WatchTasks(task_service_pb2.WatchTasksRequest(queue=queue))))).cursor
    for path, wrong in (
        (f"/api/tasks/{other}:watch", cursor),
        (f"/api/tasks/{one}:watch", of_all),
        ("/api/tasks:watch", of_all),  # of another filter
        (f"/api/tasks:watch?queue={queue}", cursor),
        (f"/api/tasks/{one}:watch", cursor[:-1]),
        (f"/api/tasks/{one}:watch", "nonsense"),
    ):
        response = await rest.get(httpx.URL(path).copy_merge_params({"cursor": wrong}))
        assert response.status_code == 400, response.text
        assert list(refusals.over_rest(response).fields) == ["cursor"]


def length_delimited(field: int, content: bytes) -> bytes:
    length = b""
    rest = len(content)
    while rest >= 128:
        length += bytes([rest % 128 + 128])
        rest //= 128
    return bytes([field << 3 | 2]) + length + bytes([rest]) + content


def nested_task_data(levels: int) -> bytes:
    """Returns a request whose task_data is nested too deeply for protobuf to build here."""
    struct = b""
    for _ in range(levels):
        value = length_delimited(5, struct)
        struct = length_delimited(1, length_delimited(1, b"a") + length_delimited(2, value))
    return length_delimited(3, struct)


@pytest.mark.parametrize(
    "payload",
    [b"\x0a\x02\xff\xfe", b"\xff\xff\xff", b"\x1a\x05", nested_task_data(60)],
    ids=["invalid UTF-8", "no field", "cut off", "nested too deeply"],
)
async def test_invalid_protobuf_is_an_error_of_the_caller(stack: stacks.Stack, payload: bytes) -> None:
    identity: Callable[[bytes], bytes] = bytes
    async with grpc.aio.insecure_channel(stack.address) as channel:
        call = channel.unary_unary("/duetime.v1.TaskService/CreateTask", identity, identity)(payload)
        refusal = await refusals.over_grpc(call)
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/api", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/api/tasks/1/nothing", 404, "ROUTE_NOT_FOUND"),
        ("POST", "/api/tasks/1", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/api/tasks", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/tasks/1:cancel", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_an_unknown_route_is_answered_in_the_usual_format(
    rest: httpx.AsyncClient, method: str, path: str, status: int, reason: str
) -> None:
    response = await rest.request(method, path)
    assert response.status_code == status
    assert refusals.over_rest(response).reason == reason


async def test_an_unknown_method_is_unimplemented(stack: stacks.Stack) -> None:
    async with grpc.aio.insecure_channel(stack.address) as channel:
        identity: Callable[[bytes], bytes] = bytes
        call = channel.unary_unary("/duetime.v1.TaskService/Nothing", identity, identity)(b"", timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_deadline_is_respected(stub: Any) -> None:
    task_id = await create(stub)
    call = stub.WatchTask(task_service_pb2.WatchTaskRequest(task_id=task_id), timeout=0.3)
    began = datetime.datetime.now(datetime.UTC)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        _ = [event async for event in call]
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert datetime.datetime.now(datetime.UTC) - began < datetime.timedelta(seconds=5)
