"""The contract over REST, through Envoy."""

import json
import re
from typing import Any

import httpx
import httpx_sse
import pytest

from tests.acceptance import requests
from tests.support import stacks


async def create(rest: httpx.AsyncClient, **changes: Any) -> int:
    response = await rest.post("/api/tasks", json=requests.as_json(**changes))
    assert response.status_code == 200, response.text
    task_id: int = response.json()["task_id"]
    return task_id


async def events(rest: httpx.AsyncClient, url: str, **parameters: str) -> list[dict[str, Any]]:
    async with httpx_sse.aconnect_sse(rest, "GET", url, params=parameters) as source:
        assert source.response.status_code == 200
        return [json.loads(event.data) async for event in source.aiter_sse()]


async def test_create_returns_the_task_id_as_a_number(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/api/tasks", json=requests.as_json())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert re.fullmatch(rb'\{"task_id":[1-9][0-9]*\}', response.content)


async def test_get_status_returns_only_the_status(rest: httpx.AsyncClient) -> None:
    response = await rest.get(f"/api/tasks/{await create(rest)}/status")
    assert (response.status_code, response.content) == (200, b'{"status":"pending"}')


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_update_returns_a_message(rest: httpx.AsyncClient, method: str) -> None:
    task_id = await create(rest)
    response = await rest.request(method, f"/api/tasks/{task_id}", json={"name": "renamed"})
    assert (response.status_code, response.content) == (200, b'{"message":"Task updated successfully"}')
    assert (await rest.get(f"/api/tasks/{task_id}")).json()["name"] == "renamed"


async def test_delete_returns_a_message_and_hides_the_task_but_not_its_log(rest: httpx.AsyncClient) -> None:
    task_id = await create(rest)
    response = await rest.delete(f"/api/tasks/{task_id}")
    assert (response.status_code, response.content) == (200, b'{"message":"Task deleted successfully"}')
    for gone in (f"/api/tasks/{task_id}", f"/api/tasks/{task_id}/status", f"/api/tasks/{task_id}:watch"):
        assert (await rest.get(gone)).status_code == 404
    assert (await rest.delete(f"/api/tasks/{task_id}")).status_code == 404
    logs = (await rest.get(f"/api/tasks/{task_id}/logs")).json()["logs"]
    assert [(log["change"], log["status"]) for log in logs] == [("created", "pending"), ("deleted", "cancelled")]


async def test_get_returns_the_whole_task(rest: httpx.AsyncClient, queue: str) -> None:
    given = {
        "execution_time": "2030-01-02T04:05:06.789+01:00",
        "task_data": {"text": "Grüße ✓", "list": [1, 2.5, None, True], "deep": {"er": {}}},
        "queue": queue,
        "max_retries": 0,
        "retry_policy": {"initial_backoff": "2s", "max_backoff": "60s", "multiplier": 3, "jitter": 0},
        "timeout": "1.500s",
        "request_id": queue,
    }
    task = (await rest.get(f"/api/tasks/{await create(rest, **given)}")).json()
    assert {name: task[name] for name in given} == {**given, "execution_time": "2030-01-02T03:05:06.789Z"}
    assert (task["status"], task["version"], task["retry_count"]) == ("pending", 1, 0)
    assert (task["error_message"], task["worker_id"]) == ("", "")
    assert task["created_at"] == task["updated_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", task["created_at"])
    assert not task.keys() & {"result", "executed_at", "lease_expires_at"}


async def test_defaults_are_those_of_the_contract(rest: httpx.AsyncClient) -> None:
    task = (await rest.get(f"/api/tasks/{await create(rest, task_data=None)}")).json()
    assert (task["queue"], task["max_retries"], task["task_data"]) == ("default", 3, {})
    assert task["retry_policy"] == {"initial_backoff": "1s", "max_backoff": "3600s", "multiplier": 2, "jitter": 0.1}
    assert "timeout" not in task


async def test_a_time_in_the_past_means_now(rest: httpx.AsyncClient, queue: str) -> None:
    task_id = await create(rest, execution_time="1999-12-31T23:59:59Z", queue=queue)
    task = (await rest.get(f"/api/tasks/{task_id}")).json()
    assert task["execution_time"] == task["created_at"]


async def test_batch_create_returns_the_ids_in_order(rest: httpx.AsyncClient) -> None:
    body = {"requests": [requests.as_json(name=f"task {number}") for number in range(3)]}
    response = await rest.post("/api/tasks:batchCreate", json=body)
    assert response.status_code == 200
    task_ids = response.json()["task_ids"]
    names = [(await rest.get(f"/api/tasks/{task_id}")).json()["name"] for task_id in task_ids]
    assert names == ["task 0", "task 1", "task 2"]


async def test_cancel_and_retry_return_the_task(rest: httpx.AsyncClient, queue: str) -> None:
    task_id = await create(rest, queue=queue)
    for _ in range(2):  # the caller lost the response and retries
        response = await rest.post(f"/api/tasks/{task_id}:cancel", json={})
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    response = await rest.post(f"/api/tasks/{task_id}:retry", json={})
    assert (response.status_code, response.json()["status"]) == (200, "pending")
    logs = (await rest.get(f"/api/tasks/{task_id}/logs")).json()
    assert [log["change"] for log in logs["logs"]] == ["created", "cancelled", "retried"]
    assert [log["version"] for log in logs["logs"]] == [1, 2, 3]
    assert logs["next_page_token"] == ""


async def test_the_same_request_id_returns_the_same_task(rest: httpx.AsyncClient, queue: str) -> None:
    body = requests.as_json(request_id=queue)
    first, second = [(await rest.post("/api/tasks", json=body)).json() for _ in range(2)]
    assert first == second
    response = await rest.post("/api/tasks", json={**body, "name": "other"})
    assert response.status_code == 409
    assert response.json()["details"][0]["reason"] == "REQUEST_ID_REUSED"


async def test_a_watch_is_a_stream_of_server_sent_events(rest: httpx.AsyncClient) -> None:
    task_id = await create(rest, execution_time=requests.at(0.5).isoformat())
    async with rest.stream("GET", f"/api/tasks/{task_id}:watch") as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert {line[:6] async for line in response.aiter_lines() if line} == {"id: Wy", "data: "}
    received = await events(rest, f"/api/tasks/{task_id}:watch")
    assert received[0]["change"]["status"] == "completed"
    assert received[1]["end"] == {"reason": "TASK_TERMINAL"}


async def test_a_watch_over_rest_resumes_from_a_cursor(rest: httpx.AsyncClient) -> None:
    task_id = await create(rest)
    received = []
    async with httpx_sse.aconnect_sse(rest, "GET", f"/api/tasks/{task_id}:watch") as source:
        async for event in source.aiter_sse():
            received.append(json.loads(event.data))
            if len(received) == 1:  # the watch has begun
                await rest.patch(f"/api/tasks/{task_id}", json={"execution_time": requests.at(0).isoformat()})
    assert [event["change"]["change"] for event in received[:-1]] == ["created", "updated", "started", "completed"]
    for number, event in enumerate(received[:-1], start=1):
        assert await events(rest, f"/api/tasks/{task_id}:watch", cursor=event["cursor"]) == received[number:]


async def test_a_watch_of_all_tasks_begins_with_a_cursor(rest: httpx.AsyncClient, queue: str) -> None:
    async with httpx_sse.aconnect_sse(rest, "GET", "/api/tasks:watch", params={"queue": queue}) as source:
        stream = source.aiter_sse()
        first = json.loads((await anext(stream)).data)
        assert first["heartbeat"] == {}
        task_id = await create(rest, queue=queue)
        second = json.loads((await anext(stream)).data)
        assert (second["change"]["task_id"], second["change"]["status"]) == (task_id, "pending")
    url = "/api/tasks:watch"
    async with httpx_sse.aconnect_sse(rest, "GET", url, params={"queue": queue, "cursor": first["cursor"]}) as source:
        stream = source.aiter_sse()
        assert "heartbeat" in json.loads((await anext(stream)).data)
        assert json.loads((await anext(stream)).data)["change"] == second["change"]


async def test_mail_arrives_with_the_default_settings(rest: httpx.AsyncClient, stack: stacks.Stack, queue: str) -> None:
    data = {"email": "ada@example.com", "subject": f"It is time, {queue}", "body": "As you asked."}
    task_id = await create(rest, name="Send Email", execution_time=requests.at(2).isoformat(), task_data=data)
    received = await events(rest, f"/api/tasks/{task_id}:watch")
    logs = (await rest.get(f"/api/tasks/{task_id}/logs")).json()["logs"]
    assert [log["status"] for log in logs] == ["pending", "running", "completed"], logs
    # On a busy machine the task may start before the watch.
    assert [event["change"] for event in received[:-1]] == logs[1 - len(received) :]
    mails = [path.read_text() for path in stack.mailbox.iterdir()]
    assert [mail for mail in mails if queue in mail and "As you asked." in mail]
