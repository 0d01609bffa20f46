"""Forged page tokens and cursors are refused, with any content."""

import base64
import json
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from duetime.v1 import task_service_pb2
from tests.acceptance import refusals, requests

INVALID = grpc.StatusCode.INVALID_ARGUMENT
UNKNOWN = "must be a value that the server returned, unchanged"
ELSEWHERE = "must come from a watch of this database, and not of a state that it has lost. Begin again without it"
BEFORE_HISTORIES = "is of a release that did not know of failovers and restores. Begin again without it"


def opened(token: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))


def forged(token: str, value: object) -> str:
    """Returns the token with one value replaced."""
    digest, _ = opened(token)
    return base64.urlsafe_b64encode(json.dumps([digest, value]).encode()).decode().rstrip("=")


async def create(stub: Any, queue: str) -> int:
    task_id: int = (await stub.CreateTask(requests.as_message(queue=queue))).task_id
    return task_id


@pytest.mark.parametrize(
    "value",
    [
        ["yesterday", 1],
        ["2030-01-01T00:00:00", 1],
        ["2030-01-01T00:00:00Z", True],
        ["2030-01-01T00:00:00Z", "1"],
        ["2030-01-01T00:00:00Z"],
        [],
        5,
        None,
        {"a": 1},
    ],
    ids=str,
)
async def test_a_forged_token_of_a_list_is_refused(stub: Any, queue: str, value: object) -> None:
    for _ in range(2):
        await create(stub, queue)
    listing = task_service_pb2.ListTasksRequest(queue=queue, page_size=1)
    listing.page_token = forged((await stub.ListTasks(listing)).next_page_token, value)
    refusal = await refusals.over_grpc(stub.ListTasks(listing))
    assert (refusal.code, refusal.fields) == (INVALID, {"page_token": UNKNOWN})


@pytest.mark.parametrize("value", [True, 1.5, "1", None, [1]], ids=str)
async def test_a_forged_token_of_a_history_is_refused(stub: Any, queue: str, value: object) -> None:
    task_id = await create(stub, queue)
    await stub.UpdateTask(task_service_pb2.UpdateTaskRequest(task_id=task_id, name="renamed"))
    listing = task_service_pb2.ListTaskLogsRequest(task_id=task_id, page_size=1)
    listing.page_token = forged((await stub.ListTaskLogs(listing)).next_page_token, value)
    refusal = await refusals.over_grpc(stub.ListTaskLogs(listing))
    assert (refusal.code, refusal.fields) == (INVALID, {"page_token": UNKNOWN})


@pytest.mark.parametrize("value", [[0, 1], [-1, 1], [2**31, 1], [1, 10**30], ["1", 1], [1], "1", None], ids=str)
async def test_a_forged_cursor_of_a_watch_of_one_task_is_refused(stub: Any, queue: str, value: object) -> None:
    watched = task_service_pb2.WatchTaskRequest(task_id=await create(stub, queue))
    watched.cursor = forged((await stub.WatchTask(watched).read()).cursor, value)
    refusal = await refusals.over_grpc(stub.WatchTask(watched).read())
    assert (refusal.code, refusal.fields) == (INVALID, {"cursor": UNKNOWN})


@pytest.mark.parametrize(
    ("value", "description"),
    [
        ("", UNKNOWN),
        ("1:2", UNKNOWN),
        ("1:2:x", UNKNOWN),
        ("0:0:", UNKNOWN),
        ("-5:-5:", UNKNOWN),
        ("5:1:", UNKNOWN),
        ("1:5:7", UNKNOWN),
        (f"{10**30}:{10**30}:", UNKNOWN),
        (f"1:1:;1:1:;{10**30};{10**30}", UNKNOWN),
        (None, UNKNOWN),
        (5, UNKNOWN),
        (["7381/5", "10:20:"], BEFORE_HISTORIES),
        ("99999999999:99999999999:", ELSEWHERE),
        ("1:1:;99999999999:99999999999:;1;1", ELSEWHERE),
    ],
)
async def test_a_forged_cursor_of_a_watch_of_all_tasks_is_refused_before_the_first_event(
    rest: httpx.AsyncClient, stub: Any, queue: str, value: object, description: str
) -> None:
    watched = task_service_pb2.WatchTasksRequest(queue=queue)
    cursor = (await stub.WatchTasks(watched).read()).cursor
    history, end, *_ = opened(cursor)[1].split(";")
    watched.cursor = forged(cursor, f"{history};{end};{value}" if isinstance(value, str) else value)
    refusal = await refusals.over_grpc(stub.WatchTasks(watched).read())
    assert (refusal.code, refusal.fields) == (INVALID, {"cursor": description})
    # Over HTTP/1.1 a later error would look like the end of the watch.
    response = await rest.get("/api/tasks:watch", params={"queue": queue, "cursor": watched.cursor})
    assert response.status_code == 400
    assert refusals.over_rest(response) == refusal


async def test_a_cursor_with_an_invalid_snapshot_is_refused(stub: Any, queue: str) -> None:
    watched = task_service_pb2.WatchTasksRequest(queue=queue)
    history, end, seen = opened(cursor := (await stub.WatchTasks(watched).read()).cursor)[1].split(";")
    upto = int(seen.split(":")[1])
    for count in (1_001, 70_000):
        in_progress = ",".join(str(xid) for xid in range(upto, upto + count))
        watched.cursor = forged(cursor, f"{history};{end};{upto}:{upto + count}:{in_progress}")
        refusal = await refusals.over_grpc(stub.WatchTasks(watched).read())
        assert (refusal.code, refusal.fields) == (INVALID, {"cursor": UNKNOWN})


@pytest.mark.parametrize(
    "value",
    [
        ["9999-12-31T23:59:59.999999-23:59", 1],
        ["0001-01-01T00:00:00+23:59", 1],
        ["2030-01-01T00:00:00+00:00:00.000001", 1],
        ["2030-01-01T00:00:00Z", 10**30],
        ["2030-01-01T00:00:00Z", -(10**4000)],
    ],
    ids=lambda value: f"{value[0]} {str(value[1])[:9]}",
)
async def test_a_forged_token_with_extreme_values_returns_a_page_or_is_refused(
    stub: Any, queue: str, value: list[Any]
) -> None:
    for _ in range(2):
        await create(stub, queue)
    for order in ("execution_time", "task_id desc"):
        listing = task_service_pb2.ListTasksRequest(queue=queue, page_size=1, order_by=order)
        listing.page_token = forged((await stub.ListTasks(listing)).next_page_token, value)
        try:
            await stub.ListTasks(listing)
        except grpc.aio.AioRpcError as error:
            assert error.code() is INVALID, error  # noqa: PT017 - a page is valid too
