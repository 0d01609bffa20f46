"""Tasks in local time."""

import datetime
from typing import Any

import grpc
import httpx
import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from duetime_core.model import task
from duetime_core.store.tasks import read as task_read
from duetime_core.store.tasks import relocate
from tests.acceptance import commands, refusals, requests
from tests.support import factories, rows, stacks


def body(**changes: Any) -> dict[str, Any]:
    local = {"local_time": "2030-07-01T09:00:00", "time_zone": "Europe/Lisbon", **changes}
    return requests.as_json(**{"execution_time": None, **local})


@pytest.mark.parametrize(
    ("local_time", "instant"),
    [
        ("2030-07-01T09:00:00", "2030-07-01T08:00:00Z"),
        ("2030-01-01T09:00", "2030-01-01T09:00:00Z"),
        ("2030-03-31T01:30:00", "2030-03-31T01:30:00Z"),  # skipped (nonexistent): shifted to 02:30 summer time
        ("2030-10-27T01:30:00", "2030-10-27T00:30:00Z"),  # repeated (ambiguous): the first
    ],
)
async def test_a_task_is_due_at_its_local_time(rest: httpx.AsyncClient, local_time: str, instant: str) -> None:
    created = (await rest.post("/api/tasks", json=body(local_time=local_time))).json()
    shown = (await rest.get(f"/api/tasks/{created['task_id']}")).json()
    assert (shown["execution_time"], shown["time_zone"]) == (instant, "Europe/Lisbon")
    assert shown["local_time"].startswith(local_time)


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "an offset": ({"local_time": "2030-07-01T09:00:00Z"}, "local_time", "must have no UTC offset"),
    "no time": ({"local_time": "tomorrow"}, "local_time", "must be a local time such as 2027-03-28T09:00:00"),
    "no zone": ({"time_zone": None}, "time_zone", "is required with local_time"),
    "a zone alone": ({"local_time": None}, "local_time", "is required with time_zone"),
    "an unknown zone": ({"time_zone": "Europe/Lisboa"}, "time_zone", "did you mean Europe/Lisbon"),
    "both": ({"execution_time": "2030-07-01T09:00:00Z"}, "execution_time", "must not be given together"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_invalid_requests_are_refused_with_the_field(rest: httpx.AsyncClient, wrong: str) -> None:
    changes, field, right = WRONG[wrong]
    refused = refusals.over_rest(await rest.post("/api/tasks", json=body(**changes)))
    assert (refused.code, list(refused.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert right in refused.fields[field]


async def test_the_client_and_the_command_line_know_local_times(stack: stacks.Stack) -> None:
    nine = datetime.datetime(2030, 7, 1, 9)  # noqa: DTZ001 - local times are naive
    async with duetime_client.AsyncClient(stack.address) as client:
        task_id = await client.create("noop", duetime_client.LocalTime(nine, "Asia/Tokyo"))
        found = await client.get(task_id)
        assert (found.local_time, found.time_zone) == ("2030-07-01T09:00:00", "Asia/Tokyo")
        await client.update(task_id, execution_time=duetime_client.LocalTime(nine, "Europe/Lisbon"))
        assert (await client.get(task_id)).execution_time == datetime.datetime(2030, 7, 1, 8, tzinfo=datetime.UTC)
        await client.update(task_id, execution_time=requests.at(86_400))
        assert (await client.get(task_id)).time_zone == ""
        updated = await commands.run(stack, f"update {task_id} --at 2030-07-01T09:00 --zone Asia/Tokyo")
        assert updated.returncode == 0, updated.stderr
        assert (await client.get(task_id)).execution_time == datetime.datetime(2030, 7, 1, tzinfo=datetime.UTC)
        assert "2030-07-01T09:00:00 Asia/Tokyo" in (await commands.run(stack, f"get {task_id}")).stdout
        assert "or --zone Europe/Lisbon" in (await commands.run(stack, "create noop --at 2030-07-01T09:00")).stderr
        await client.cancel(task_id)


async def test_new_time_zone_rules_move_pending_tasks(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    local = datetime.datetime(2030, 7, 1, 9)  # noqa: DTZ001 - local times are naive
    right = datetime.datetime(2030, 7, 1, 8, tzinfo=datetime.UTC)
    moved, waiting = [
        await factories.create(engine, execution_time=right, local_time=local, time_zone="Europe/Lisbon")
        for _ in range(2)
    ]
    plain = await factories.create(engine, execution_time=right)
    # As if another version of the time zone database had resolved it.
    await rows.change(engine, "execution_time = execution_time + interval '1 hour'")
    await rows.change(engine, "retry_count = 1", waiting)
    found, _, has_more = await relocate.recompute(engine, seconds=5, actor="api")
    assert ([each.task_id for each in found], has_more) == ([moved], False)
    assert (await task_read.get(engine, moved)).execution_time == right
    assert await factories.history(engine, moved) == ["created", task.Change.UPDATED]
    assert (await task_read.get(engine, plain)).execution_time == right + datetime.timedelta(hours=1)
    assert (await relocate.recompute(engine, seconds=5, actor="api"))[0] == []
