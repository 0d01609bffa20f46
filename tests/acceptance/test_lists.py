"""Listing tasks page by page."""

from typing import Any

import httpx
import pytest

from tests.acceptance import refusals, requests

ORDERS = ["", "execution_time", "execution_time desc", "task_id", "task_id desc"]


async def create_many(rest: httpx.AsyncClient, *bodies: dict[str, Any]) -> list[int]:
    response = await rest.post("/api/tasks:batchCreate", json={"requests": bodies})
    assert response.status_code == 200, response.text
    task_ids: list[int] = response.json()["task_ids"]
    return task_ids


async def pages(rest: httpx.AsyncClient, **parameters: Any) -> list[list[dict[str, Any]]]:
    found, token = [], ""
    while True:
        response = await rest.get("/api/tasks", params={**parameters, "page_token": token})
        assert response.status_code == 200, response.text
        found.append(response.json()["tasks"])
        token = response.json()["next_page_token"]
        if not token:
            return found


async def ids(rest: httpx.AsyncClient, **parameters: Any) -> list[int]:
    return [task["task_id"] for page in await pages(rest, **parameters) for task in page]


@pytest.mark.parametrize("order", ORDERS)
async def test_pages_in_every_order_contain_each_task_once(rest: httpx.AsyncClient, queue: str, order: str) -> None:
    # Due in reverse order, with ties.
    due = [requests.at(86400 - number // 2 * 60) for number in range(7)]
    moments = [due[number // 2 * 2].isoformat() for number in range(7)]
    task_ids = await create_many(rest, *(requests.as_json(queue=queue, execution_time=each) for each in moments))
    found = await pages(rest, queue=queue, order_by=order, page_size=3)
    assert [len(page) for page in found] == [3, 3, 1]
    listed = [(task["execution_time"], task["task_id"]) for page in found for task in page]
    column, _, descending = order.partition(" ")
    key = (lambda each: each[1]) if column == "task_id" else (lambda each: each)
    assert listed == sorted(listed, key=key, reverse=bool(descending))
    assert sorted(task_id for _, task_id in listed) == task_ids


async def test_a_full_last_page_has_no_token(rest: httpx.AsyncClient, queue: str) -> None:
    await create_many(rest, *(requests.as_json(queue=queue) for _ in range(4)))
    assert [len(page) for page in await pages(rest, queue=queue, page_size=2)] == [2, 2]


async def test_concurrent_creates_do_not_disturb_the_pages(rest: httpx.AsyncClient, queue: str) -> None:
    early = await create_many(rest, *(requests.as_json(queue=queue) for _ in range(4)))
    first = (await rest.get("/api/tasks", params={"queue": queue, "order_by": "task_id", "page_size": 2})).json()
    late = await create_many(rest, requests.as_json(queue=queue))
    rest_of_them = await ids(rest, queue=queue, order_by="task_id", page_size=2)
    assert [task["task_id"] for task in first["tasks"]] == early[:2]
    assert rest_of_them == early + late


async def test_filters_select_by_status_name_and_time(rest: httpx.AsyncClient, queue: str) -> None:
    noon, later = "2031-05-06T12:00:00Z", "2031-05-06T12:00:01Z"
    one, two, three = await create_many(
        rest,
        requests.as_json(queue=queue, name="one", execution_time=noon),
        requests.as_json(queue=queue, name="two", execution_time=later),
        requests.as_json(queue=queue, name="two", execution_time=later),
    )
    await rest.post(f"/api/tasks/{two}:cancel", json={})
    assert await ids(rest, queue=queue, status="pending") == [one, three]
    assert await ids(rest, queue=queue, status=["pending", "cancelled"]) == [one, two, three]
    assert await ids(rest, queue=queue, status="failed") == []
    assert await ids(rest, queue=queue, name="two") == [two, three]
    assert await ids(rest, queue=queue, due_from=later) == [two, three]
    assert await ids(rest, queue=queue, due_before=later) == [one]
    assert await ids(rest, queue=queue, due_from=noon, due_before=later, status="pending", name="one") == [one]


async def test_filters_choose_by_key_request_and_beginning_of_the_name(rest: httpx.AsyncClient, queue: str) -> None:
    one, two, three = await create_many(
        rest,
        requests.as_json(queue=queue, name=f"{queue} one", concurrency_key=f"{queue}-key", request_id=f"{queue}-1"),
        requests.as_json(queue=queue, name=f"{queue} one more", concurrency_key=f"{queue}-key"),
        requests.as_json(queue=queue, name=f"{queue} 100%"),
    )
    for order in ORDERS:
        assert sorted(await ids(rest, concurrency_key=f"{queue}-key", order_by=order, page_size=1)) == [one, two]
        assert await ids(rest, request_id=f"{queue}-1", order_by=order) == [one]
        assert await ids(rest, request_id=f"{queue}-1", status="failed", order_by=order) == []
        assert sorted(await ids(rest, name_prefix=f"{queue} one", order_by=order, page_size=1)) == [one, two]
        assert await ids(rest, name_prefix=f"{queue} 100%", order_by=order) == [three]
    assert await ids(rest, concurrency_key=f"{queue}-key", name_prefix=f"{queue} one m", queue=queue) == [two]
    filtered = {"filter": {"concurrency_key": f"{queue}-key", "name_prefix": f"{queue} one m"}}
    assert (await rest.post("/api/tasks:cancel", json=filtered)).json() == {"count": 1, "has_more": False}
    assert await ids(rest, queue=queue, status="cancelled") == [two]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"name_prefix": "n" * 256}, "name_prefix: must be at most 255 characters; it has 256"),
        ({"concurrency_key": "k" * 256}, "concurrency_key: must be at most 255 characters; it has 256"),
        ({"request_id": "r" * 129}, "request_id: must be at most 128 characters; it has 129"),
        ({"schedule_id": "many"}, "schedule_id: must be a whole number from 0 to 4294967295"),
        ({"schedule_id": "0"}, "schedule_id: must be from 1 on, not 0"),
        ({"queue": ""}, "queue: must be 1 to 100 characters"),
        ({"name": ""}, "name: must not be empty; leave it out to select any"),
        ({"name_prefix": ""}, "name_prefix: must not be empty"),
        ({"concurrency_key": ""}, "concurrency_key: must not be empty"),
        ({"request_id": ""}, "request_id: must not be empty"),
    ],
)
async def test_a_filter_that_nothing_can_match_is_refused(
    rest: httpx.AsyncClient, parameters: dict[str, str], message: str
) -> None:
    refused = refusals.over_rest(await rest.get("/api/tasks", params=parameters))
    assert refused.message.startswith(message)


async def test_a_deleted_task_is_not_listed(rest: httpx.AsyncClient, queue: str) -> None:
    gone, there = await create_many(rest, requests.as_json(queue=queue), requests.as_json(queue=queue))
    await rest.delete(f"/api/tasks/{gone}")
    assert await ids(rest, queue=queue) == [there]


async def test_a_history_is_paginated(rest: httpx.AsyncClient, queue: str) -> None:
    (task_id,) = await create_many(rest, requests.as_json(queue=queue))
    for number in range(4):
        await rest.patch(f"/api/tasks/{task_id}", json={"name": f"name {number}"})
    versions, token = [], ""
    for size in (2, 2, 1):
        page = (await rest.get(f"/api/tasks/{task_id}/logs", params={"page_size": 2, "page_token": token})).json()
        assert len(page["logs"]) == size
        versions += [log["version"] for log in page["logs"]]
        token = page["next_page_token"]
    assert (versions, token) == ([1, 2, 3, 4, 5], "")
