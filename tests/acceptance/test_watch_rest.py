"""Watches over REST: server-sent events through Envoy."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx_sse
import pytest

from tests.acceptance import refusals, requests

Events = AsyncIterator[dict[str, Any]]


@contextlib.asynccontextmanager
async def watching(rest: httpx.AsyncClient, path: str, **parameters: Any) -> AsyncIterator[Events]:
    """Yields the events of a watch."""
    async with httpx_sse.aconnect_sse(rest, "GET", path, params=parameters) as source:
        assert source.response.headers["content-type"] == "text/event-stream"
        yield (json.loads(event.data) async for event in source.aiter_sse())


async def create(rest: httpx.AsyncClient, **changes: Any) -> int:
    task_id: int = (await rest.post("/api/tasks", json=requests.as_json(**changes))).json()["task_id"]
    return task_id


async def test_a_watch_begins_with_the_current_state_and_follows_changes(rest: httpx.AsyncClient, queue: str) -> None:
    task_id = await create(rest, queue=queue)
    await rest.patch(f"/api/tasks/{task_id}", json={"name": "second"})
    async with watching(rest, f"/api/tasks/{task_id}:watch") as events:
        first = (await anext(events))["change"]
        assert (first["version"], first["change"], first["status"]) == (2, "updated", "pending")
        await rest.patch(f"/api/tasks/{task_id}", json={"name": "third"})
        assert (await anext(events))["change"]["version"] == 3
        await rest.post(f"/api/tasks/{task_id}:cancel")
        cancelled = await anext(events)
        assert cancelled["change"]["status"] == "cancelled"
        end = await anext(events)
        assert end == {"cursor": cancelled["cursor"], "end": {"reason": "TASK_TERMINAL"}}
        assert [event async for event in events] == []


async def test_a_change_has_all_its_fields(rest: httpx.AsyncClient, queue: str) -> None:
    task_id = await create(rest, queue=queue, execution_time="2050-01-01T00:00:00Z")
    async with watching(rest, f"/api/tasks/{task_id}:watch") as events:
        change = (await anext(events))["change"]
    (logged,) = (await rest.get(f"/api/tasks/{task_id}/logs")).json()["logs"]
    assert change == logged
    assert logged == {
        "task_id": task_id,
        "version": 1,
        "status": "pending",
        "change": "created",
        "timestamp": logged["timestamp"],
        "execution_time": "2050-01-01T00:00:00Z",
        "retry_count": 0,
        "error_message": "",
        "actor": "api",
        "queue": queue,
        "name": "noop",
        "previous_queue": "",
        "previous_name": "",
    }


async def test_a_cursor_at_the_end_returns_only_the_end(rest: httpx.AsyncClient, queue: str) -> None:
    task_id = await create(rest, queue=queue)
    await rest.post(f"/api/tasks/{task_id}:cancel")
    async with watching(rest, f"/api/tasks/{task_id}:watch") as events:
        *_, end = [event async for event in events]
    async with watching(rest, f"/api/tasks/{task_id}:watch", cursor=end["cursor"]) as events:
        assert [event async for event in events] == [end]


async def test_a_watch_of_a_missing_task_is_an_error_and_not_a_stream(rest: httpx.AsyncClient) -> None:
    response = await rest.get("/api/tasks/4294967295:watch")
    assert response.status_code == 404
    assert refusals.over_rest(response).message == "There is no task 4294967295."


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["created", "updated", "cancelled", "retried", "deleted"]),
        ({"name": "watched"}, ["created", "updated", "cancelled", "retried", "deleted"]),
        ({"name": "other"}, []),
        ({"status": "pending"}, ["created", "updated", "retried"]),
        ({"status": ["cancelled", "completed"]}, ["cancelled", "deleted"]),
        ({"status": "running"}, []),
    ],
    ids=str,
)
async def test_a_watch_of_all_tasks_returns_only_matching_changes(
    rest: httpx.AsyncClient, queue: str, wanted: dict[str, Any], expected: list[str]
) -> None:
    async with watching(rest, "/api/tasks:watch", queue=queue, **wanted) as events:
        begin = await anext(events)
        assert begin["heartbeat"] == {}
        task_id = await create(rest, queue=queue, name="watched")
        await create(rest, queue=f"{queue}-2", name="watched")
        await rest.patch(f"/api/tasks/{task_id}", json={"max_retries": 5})
        await rest.post(f"/api/tasks/{task_id}:cancel")
        await rest.post(f"/api/tasks/{task_id}:retry")
        await rest.delete(f"/api/tasks/{task_id}")
        live = [await anext(events) for _ in expected]
    assert [(event["change"]["task_id"], event["change"]["change"]) for event in live] == [
        (task_id, change) for change in expected
    ]
    # From each cursor, another watch returns exactly the rest.
    for number, event in enumerate([begin, *live]):
        async with watching(rest, "/api/tasks:watch", queue=queue, cursor=event["cursor"], **wanted) as events:
            assert "heartbeat" in await anext(events)
            again = [await anext(events) for _ in live[number:]]
        assert [each["change"] for each in again] == [each["change"] for each in live[number:]]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"status": "waiting"}, "status"),
        ({"status": "unspecified"}, "status: must be one of pending, running, completed, failed, cancelled"),
        ({"queue": "A B"}, "queue: must be 1 to 100 characters"),
        ({"name": "x" * 256}, "name: must be at most 255 characters; it has 256"),
        ({"name": ""}, "name: must not be empty"),
        ({"queue": ""}, "queue: must be 1 to 100 characters"),
        ({"cursor": "nonsense"}, "cursor: must be a value that the server returned, unchanged"),
    ],
)
async def test_a_watch_of_all_tasks_with_an_invalid_filter_is_an_error_and_not_a_stream(
    rest: httpx.AsyncClient, parameters: dict[str, str], named: str
) -> None:
    response = await rest.get("/api/tasks:watch", params=parameters)
    assert response.status_code == 400
    assert named in refusals.over_rest(response).message
