"""Doubles beyond JavaScript's safe integers pass unchanged, over REST and through the client."""

import datetime
import math
from typing import Any

import httpx
import pytest

import duetime_client
from tests.acceptance import refusals, requests
from tests.support import clients, stacks

# The number in JSON, and the value that a handler receives.
NUMBERS = {
    "6.02214076e23": "6.02214076e+23",
    "-6.02214076E+23": "-6.02214076e+23",
    "1e22": "1e+22",
    "1e16": "1e+16",
    "10000000000000000.0": "1e+16",
    "9007199254740992.0": "9007199254740992.0",
    "9007199254740991": "9007199254740991",
    "-9007199254740991.0": "-9007199254740991",
    "1.7976931348623157e308": "1.7976931348623157e+308",
    "5e-324": "5e-324",
    "0.1": "0.1",
    "5.0": "5",
    "1e3": "1000",
}
VALUES = [float(text) for text in NUMBERS]


async def finished(rest: httpx.AsyncClient, stack: stacks.Stack, task_id: int) -> dict[str, Any]:
    async with duetime_client.AsyncClient(stack.address) as client:
        await clients.finished(client, task_id)
    task: dict[str, Any] = (await rest.get(f"/api/tasks/{task_id}")).json()
    return task


def hold(task: dict[str, Any], name: str) -> None:
    assert task["task_data"]["numbers"] == VALUES
    assert task["result"] == {"shown": list(NUMBERS.values()), "given": VALUES}, name


async def test_doubles_sent_over_rest_reach_the_handler_and_are_returned(
    rest: httpx.AsyncClient, stack: stacks.Stack
) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    body = f'{{"name":"numbers","execution_time":"{now}","task_data":{{"numbers":[{",".join(NUMBERS)}]}}}}'
    created = await rest.post("/api/tasks", content=body, headers={"content-type": "application/json"})
    assert created.status_code == 200, created.text
    hold(await finished(rest, stack, created.json()["task_id"]), "REST")


async def test_doubles_sent_by_the_client_reach_the_handler_and_are_returned(
    rest: httpx.AsyncClient, stack: stacks.Stack
) -> None:
    async with duetime_client.AsyncClient(stack.address) as client:
        task_id = await client.create("numbers", clients.NOW, {"numbers": VALUES})
        hold(await finished(rest, stack, task_id), "client")
        task = await client.get(task_id)
        assert [repr(each) for each in task.task_data["numbers"]] == list(NUMBERS.values())
        for number in (2**53, -(2**53), 10**22, math.inf, math.nan):
            with pytest.raises(duetime_client.InvalidArgument, match=r"task_data\.numbers\[0\]"):
                await client.create("numbers", clients.NOW, {"numbers": [number]})


async def test_doubles_in_a_template_and_an_update_are_preserved(rest: httpx.AsyncClient) -> None:
    task = {"name": "numbers", "queue": "unserved", "task_data": {"numbers": VALUES}}
    schedule = {"name": "numbers", "interval": "3600s", "task": task}
    made = (await rest.post("/api/schedules", json=schedule)).json()
    assert made["task"]["task_data"]["numbers"] == VALUES
    occurrence = (await rest.get(f"/api/tasks/{made['next_task_id']}")).json()
    assert occurrence["task_data"]["numbers"] == VALUES
    task_id = (await rest.post("/api/tasks", json=requests.as_json())).json()["task_id"]
    await rest.patch(f"/api/tasks/{task_id}", json={"task_data": {"numbers": VALUES}})
    assert (await rest.get(f"/api/tasks/{task_id}")).json()["task_data"]["numbers"] == VALUES


@pytest.mark.parametrize("number", ["9007199254740992", "-9007199254740993", "1" + "0" * 30, "12345678901234567890"])
async def test_an_integer_that_a_double_cannot_hold_is_refused_over_rest(rest: httpx.AsyncClient, number: str) -> None:
    data = f'{{"order": {{"note": "9007199254740993", "ids": [1, {number}, {number}.0, 1e22]}}}}'
    task = f'{{"name": "noop", "execution_time": "2040-01-01T00:00:00Z", "task_data": {data}}}'
    template = f'{{"name": "large", "interval": "3600s", "task": {{"name": "noop", "task_data": {data}}}}}'
    path = ".order.ids[1]"
    for method, url, body, field in (
        ("POST", "/api/tasks", task, f"task_data{path}"),
        ("POST", "/api/tasks:batchCreate", f'{{"requests": [{task}]}}', f"requests[0].task_data{path}"),
        ("PATCH", "/api/tasks/1", f'{{"task_data": {data}}}', f"task_data{path}"),
        ("POST", "/api/schedules", template, f"task.task_data{path}"),
    ):
        refused = await rest.request(method, url, content=body, headers={"content-type": "application/json"})
        refusal = refusals.over_rest(refused)
        assert list(refusal.fields) == [field], refused.text
        assert refusal.fields[field].startswith(f"{number} is beyond what a JSON number holds exactly")
        assert "9007199254740991" in refusal.fields[field]


@pytest.mark.parametrize("number", ["1e400", "NaN", "Infinity", "-Infinity"])
async def test_a_number_outside_of_the_range_of_doubles_is_refused_over_rest(
    rest: httpx.AsyncClient, number: str
) -> None:
    body = f'{{"name":"numbers","execution_time":"2040-01-01T00:00:00Z","task_data":{{"numbers":[{number}]}}}}'
    refused = await rest.post("/api/tasks", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 400, refused.text
