"""Server-sent events have their cursors as ids, and a watch resumes after `Last-Event-ID`."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import httpx_sse
import pytest

from tests.acceptance import refusals, requests


@contextlib.asynccontextmanager
async def watching(
    rest: httpx.AsyncClient, path: str, last: str | None = None, **parameters: Any
) -> AsyncIterator[AsyncIterator[httpx_sse.ServerSentEvent]]:
    """Yields the events of a watch that resumes after the event with the id `last`."""
    headers = {} if last is None else {"last-event-id": last}
    async with httpx_sse.aconnect_sse(rest, "GET", path, params=parameters, headers=headers) as source:
        assert source.response.status_code == 200
        yield source.aiter_sse()


async def create(rest: httpx.AsyncClient, **changes: Any) -> int:
    task_id: int = (await rest.post("/api/tasks", json=requests.as_json(**changes))).json()["task_id"]
    return task_id


async def test_each_event_has_its_cursor_as_its_id_and_a_watch_resumes_after_it(
    rest: httpx.AsyncClient, queue: str
) -> None:
    task_id = await create(rest, queue=queue)
    for number in range(5):
        await rest.patch(f"/api/tasks/{task_id}", json={"name": f"name {number}"})
    async with watching(rest, f"/api/tasks/{task_id}:watch") as events:
        first = await anext(events)
        assert json.loads(first.data)["change"]["version"] == 6
    await rest.post(f"/api/tasks/{task_id}:cancel")
    async with watching(rest, f"/api/tasks/{task_id}:watch") as events:
        whole = [event async for event in events]
    assert [event.id for event in whole] == [json.loads(event.data)["cursor"] for event in whole]
    assert all(event.event == "message" for event in whole)
    async with watching(rest, f"/api/tasks/{task_id}:watch", first.id) as events:
        assert [(event.id, event.data) async for event in events] == [(event.id, event.data) for event in whole]


async def test_a_watch_of_all_tasks_resumes_after_any_of_its_events(rest: httpx.AsyncClient, queue: str) -> None:
    async with watching(rest, "/api/tasks:watch", queue=queue) as events:
        received = [await anext(events)]
        assert "heartbeat" in received[0].data
        for _ in range(3):
            await create(rest, queue=queue, name="ü" * 80)
        received += [await anext(events) for _ in range(3)]
    assert [event.id for event in received] == [json.loads(event.data)["cursor"] for event in received]
    for number, event in enumerate(received):
        async with watching(rest, "/api/tasks:watch", event.id, queue=queue) as events:
            assert (await anext(events)).id == event.id  # a heartbeat
            again = [json.loads((await anext(events)).data)["change"] for _ in received[number + 1 :]]
            assert again == [json.loads(each.data)["change"] for each in received[number + 1 :]]


async def test_last_event_id_overrides_the_cursor_in_the_url(rest: httpx.AsyncClient, queue: str) -> None:
    async with watching(rest, "/api/tasks:watch", queue=queue) as events:
        begin = await anext(events)
        first, second = await create(rest, queue=queue), await create(rest, queue=queue)
        after_first = await anext(events)
    async with watching(rest, "/api/tasks:watch", after_first.id, queue=queue, cursor=begin.id) as events:
        await anext(events)
        assert json.loads((await anext(events)).data)["change"]["task_id"] == second
    async with watching(rest, "/api/tasks:watch", "", queue=queue, cursor=begin.id) as events:
        await anext(events)
        assert json.loads((await anext(events)).data)["change"]["task_id"] == first


@pytest.mark.parametrize("last", ["nonsense", "1", "WyI0NTlhOTRjYyIsM10", "x" * 5000, '"; drop', "a,b", "%20"])
async def test_an_invalid_id_is_refused_like_an_invalid_cursor(rest: httpx.AsyncClient, queue: str, last: str) -> None:
    task_id = await create(rest, queue=queue)
    for path in (f"/api/tasks/{task_id}:watch", "/api/tasks:watch"):
        by_header = await rest.get(path, headers={"last-event-id": last})
        by_parameter = await rest.get(path, params={"cursor": last})
        assert (by_header.status_code, by_parameter.status_code) == (400, 400)
        assert refusals.over_rest(by_header) == refusals.over_rest(by_parameter)
        assert list(refusals.over_rest(by_header).fields) == ["cursor"]


async def test_an_id_with_other_characters_than_ascii_is_refused(rest: httpx.AsyncClient, queue: str) -> None:
    task_id = await create(rest, queue=queue)
    response = await rest.get(f"/api/tasks/{task_id}:watch", headers=[(b"last-event-id", "ü".encode())])
    assert response.status_code == 400
    assert refusals.over_rest(response).code is grpc.StatusCode.INVALID_ARGUMENT


async def test_large_and_simultaneous_events_have_their_ids(rest: httpx.AsyncClient, queue: str) -> None:
    async with watching(rest, "/api/tasks:watch", queue=queue) as events:
        begin = await anext(events)
        name = '\n\n data: {"cursor":"x"} 😀 ' * 8
        await create(rest, queue=queue, concurrency_key="data: id: ")
        batch = [requests.as_json(queue=queue, name="a" + name.strip()[:200].replace("\n", " ")) for _ in range(1000)]
        for _ in range(2):
            assert (await rest.post("/api/tasks:batchCreate", json={"requests": batch})).status_code == 200
        live = [await anext(events) for _ in range(2001)]
    async with watching(rest, "/api/tasks:watch", begin.id, queue=queue) as events:
        await anext(events)
        missed = [await anext(events) for _ in range(2001)]
    for received in (live, missed):
        assert [event.id for event in received] == [json.loads(event.data)["cursor"] for event in received]
        assert len({json.loads(event.data)["change"]["task_id"] for event in received}) == 2001
