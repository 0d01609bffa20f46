"""Schedules in a whole stack: over REST, gRPC, the client and the command line."""

import datetime
import json
import uuid
from typing import Any

import grpc
import httpx
import pytest

import duetime_client
from duetime.v1 import schedule_service_pb2, schedule_service_pb2_grpc
from tests.acceptance import commands, refusals
from tests.support import clients, stacks

INVALID = grpc.StatusCode.INVALID_ARGUMENT
HOUR = datetime.timedelta(hours=1)


def body(**changes: Any) -> dict[str, Any]:
    """Returns the body of a create, due each Monday, with changes; None removes a field."""
    made = {
        "name": "weekly",
        "cron": "0 9 * * mon",
        "time_zone": "Europe/Lisbon",
        "task": {"name": "noop", "task_data": {"a": 1}},
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


async def create(rest: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await rest.post("/api/schedules", json=body(**changes))
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


async def test_the_life_of_a_schedule_over_rest(rest: httpx.AsyncClient) -> None:
    made = await create(rest, overlap="skip", catch_up_window="3600s", jitter="60s")
    path = f"/api/schedules/{made['schedule_id']}"
    assert made["next_time"].endswith("T09:00:00Z") or made["next_time"].endswith("T08:00:00Z")
    assert (made["overlap"], made["catch_up"], made["missing_time"], made["repeated_time"]) == (
        "skip", "last", "shift", "auto",
    )  # fmt: skip
    assert (await rest.get(path)).json() == made
    task = (await rest.get(f"/api/tasks/{made['next_task_id']}")).json()
    assert (task["status"], task["schedule_id"], task["nominal_time"]) == (
        "pending", made["schedule_id"], made["next_time"],
    )  # fmt: skip
    moved = (await rest.patch(path, json={"interval": "7200s", "version": made["version"]})).json()
    assert (moved["cron"], moved["interval"], moved["next_task_id"]) == ("", "7200s", made["next_task_id"])
    assert moved["next_time"] != made["next_time"]
    stale = refusals.over_rest(await rest.patch(path, json={"name": "new", "version": made["version"]}))
    assert (stale.code, stale.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH")
    paused = (await rest.post(f"{path}:pause", json={})).json()
    assert (paused["paused"], paused["next_task_id"], "next_time" in paused) == (True, 0, False)
    assert (await rest.get(f"/api/tasks/{made['next_task_id']}")).status_code == 404
    resumed = (await rest.post(f"{path}:resume", json={})).json()
    assert (resumed["paused"], resumed["next_time"]) == (False, moved["next_time"])
    assert (await rest.delete(path)).json() == {"message": "Schedule deleted successfully"}
    assert refusals.over_rest(await rest.get(path)).reason == "SCHEDULE_NOT_FOUND"
    assert (await rest.get(f"/api/tasks/{resumed['next_task_id']}")).status_code == 404
    logs = (await rest.get(f"{path}/logs")).json()["logs"]
    assert [log["change"] for log in logs] == ["created", "updated", "skipped", "paused", "resumed", "deleted"]


async def test_the_same_request_creates_one_schedule(rest: httpx.AsyncClient) -> None:
    request_id = str(uuid.uuid4())
    made = await create(rest, request_id=request_id)
    assert await create(rest, request_id=request_id) == made
    reused = refusals.over_rest(await rest.post("/api/schedules", json=body(request_id=request_id, name="other")))
    assert (reused.code, reused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_schedules_are_listed_page_by_page(rest: httpx.AsyncClient) -> None:
    made = [(await create(rest))["schedule_id"] for _ in range(3)]
    listed, token = [], ""
    while True:
        page = (await rest.get("/api/schedules", params={"page_size": 2, "page_token": token})).json()
        listed += [each["schedule_id"] for each in page["schedules"]]
        if not (token := page["next_page_token"]):
            break
    assert [each for each in listed if each in made] == made


async def test_a_preview_returns_the_next_times_and_saves_nothing(rest: httpx.AsyncClient) -> None:
    start, end = "2027-03-27T00:00:00Z", "2027-03-30T00:00:00Z"
    rule = {"cron": "30 1 * * *", "time_zone": "Europe/Lisbon", "start_time": start, "end_time": end}
    shown = (await rest.post("/api/schedules:preview", json={**rule, "count": 5})).json()
    # On March 28 clocks go forward from 01:00 to 02:00.
    assert [each["local_time"] for each in shown["details"]] == [
        "2027-03-27T01:30:00+00:00",
        "2027-03-28T02:30:00+01:00",
        "2027-03-29T01:30:00+01:00",
    ]
    assert shown["times"] == ["2027-03-27T01:30:00Z", "2027-03-28T01:30:00Z", "2027-03-29T00:30:00Z"]
    skipped = (await rest.post("/api/schedules:preview", json={**rule, "missing_time": "skip"})).json()
    assert len(skipped["times"]) == 2
    blackout = {"first_date": "2027-03-27", "behavior": "move"}
    moved = (await rest.post("/api/schedules:preview", json={**rule, "blackouts": [blackout]})).json()["details"]
    assert (moved[0]["time"], moved[0]["moved_from"]) == ("2027-03-28T00:00:00Z", "2027-03-27T01:30:00Z")


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "an expression that never fires": ({"cron": "0 0 30 2 *"}, "cron", "never matches"),
    "an expression that cannot be read": ({"cron": "0 99 * * *"}, "cron", "it is 0 to 23"),
    "no rule": ({"cron": None}, "cron", "is required"),
    "two rules": ({"interval": "60s"}, "interval", "must not be given together with cron"),
    "a zone that does not exist": ({"time_zone": "Europe/Lisboa"}, "time_zone", "did you mean Europe/Lisbon"),
    "an end before the start": (
        {"start_time": "2028-01-01T00:00:00Z", "end_time": "2027-01-01T00:00:00Z"},
        "end_time",
        "must not be before start_time",
    ),
    "jitter wider than the interval": ({"cron": "* * * * *", "jitter": "90s"}, "jitter", "which may be 60 s"),
    "an interval below a second": ({"cron": None, "interval": "0.5s"}, "interval", "must be from 1 s"),
    "an unknown policy": ({"overlap": "forbid"}, "overlap", 'must be one of allow, skip, queue, not "forbid"'),
    "a policy of no text": ({"catch_up": True}, "catch_up", "must be one of last, all, none, not true"),
    "an unknown behavior": (
        {"blackouts": [{"first_date": "2027-12-24", "behavior": ""}]},
        "blackouts[0].behavior",
        'must be one of skip, move, not ""',
    ),
    "an unknown day": (
        {"blackouts": [{"days": ["caturday"], "from_time": "01:00", "until_time": "02:00"}]},
        "blackouts[0].days",
        "'caturday'",
    ),
    "no time of day": (
        {"blackouts": [{"from_time": "25:00", "until_time": "02:00"}]},
        "blackouts[0].from_time",
        "22:00",
    ),
    "no name": ({"name": ""}, "name", "is required: the name to show for the schedule"),
    "no task": ({"task": None}, "task", "is required"),
    "a task without a name": ({"task": {}}, "task.name", "is required: the name of the handler"),
    "a task with a wrong queue": ({"task": {"name": "noop", "queue": "A B"}}, "task.queue", "must be 1 to"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_invalid_schedule_is_refused(rest: httpx.AsyncClient, wrong: str) -> None:
    changes, field, right = WRONG[wrong]
    refused = refusals.over_rest(await rest.post("/api/schedules", json=body(**changes)))
    assert (refused.code, list(refused.fields)) == (INVALID, [field])
    assert right in refused.fields[field]


async def test_an_unknown_policy_is_refused_over_grpc(stack: stacks.Stack) -> None:
    async with grpc.aio.insecure_channel(stack.address) as channel:
        stub: Any = schedule_service_pb2_grpc.ScheduleServiceStub(channel)
        request = schedule_service_pb2.PreviewScheduleRequest(cron="@daily", missing_time=99)  # type: ignore[arg-type]
        request.blackouts.add(first_date="2027-12-24", behavior=-1)
        refusal = await refusals.over_grpc(stub.PreviewSchedule(request))
    assert refusal.fields == {
        "missing_time": "must be one of shift, skip, not 99",
        "blackouts[0].behavior": "must be one of skip, move, not -1",
    }


@pytest.mark.parametrize("given", ["unspecified", "0", 0, None, "\\u0075nspecified"])
async def test_an_unspecified_policy_is_the_default(rest: httpx.AsyncClient, given: Any) -> None:
    sent = json.dumps(body(cron="@daily", paused=True)).replace('"paused": true', f'"overlap": {json.dumps(given)}')
    response = await rest.post(
        "/api/schedules", content=sent.replace("\\\\", "\\"), headers={"content-type": "application/json"}
    )
    assert response.status_code == 200, response.text
    assert response.json()["overlap"] == "allow"
    path = f"/api/schedules/{response.json()['schedule_id']}"
    assert (await rest.patch(path, json={"overlap": 3})).json()["overlap"] == "queue"
    assert (await rest.patch(path, json={"overlap": "unspecified"})).json()["overlap"] == "allow"


async def test_an_invalid_update_changes_nothing(rest: httpx.AsyncClient) -> None:
    made = await create(rest)
    path = f"/api/schedules/{made['schedule_id']}"
    for change, field in (
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"anchor": "2027-01-01T00:00:00Z"}, "anchor"),
        ({"update_mask": "name"}, "name"),
        ({"update_mask": "cron"}, "cron"),
        ({"update_mask": "schedule_id"}, "update_mask"),
        ({}, "update_mask"),
    ):
        refused = refusals.over_rest(await rest.patch(path, json=change))
        assert (refused.code, list(refused.fields)) == (INVALID, [field])
    assert (await rest.get(path)).json() == made


async def test_a_backfill_creates_missing_occurrences_once(stack: stacks.Stack) -> None:
    now = datetime.datetime.now(datetime.UTC)
    async with duetime_client.AsyncClient(stack.address) as client:
        made = await client.create_schedule("hourly", "noop", interval=HOUR)
        task_ids = await client.backfill_schedule(made.schedule_id, now - 10 * HOUR, now - HOUR)
        assert len(task_ids) == 9
        for task_id in task_ids:
            done = await clients.finished(client, task_id)
            assert (done.status, done.schedule_id) == ("completed", made.schedule_id)
        assert await client.backfill_schedule(made.schedule_id, now - 10 * HOUR, now - HOUR) == []
        with pytest.raises(duetime_client.InvalidArgument, match="an interval of more than 1000 occurrences"):
            await client.backfill_schedule(made.schedule_id, now - 1_000_000 * HOUR, now)
        with pytest.raises(duetime_client.InvalidArgument, match="end_time: must be in the past"):
            await client.backfill_schedule(made.schedule_id, now, now + HOUR)
        with pytest.raises(duetime_client.ScheduleNotFound):
            await client.backfill_schedule(4_000_000_000, now - HOUR, now)


async def test_a_trigger_runs_the_task_now_and_keeps_the_rule(stack: stacks.Stack) -> None:
    async with duetime_client.AsyncClient(stack.address) as client:
        template = duetime_client.TaskTemplate("echo", {"a": 1}, priority=4)
        made = await client.create_schedule("weekly", template, cron="0 9 * * mon", paused=True)
        assert made.paused
        task_id = await client.trigger_schedule(made.schedule_id, request_id=f"once {made.schedule_id}")
        assert await client.trigger_schedule(made.schedule_id, request_id=f"once {made.schedule_id}") == task_id
        done = await clients.finished(client, task_id)
        assert (done.result, done.priority, done.schedule_id) == ({"a": 1}, 4, made.schedule_id)
        assert done.nominal_time is not None
        assert (await client.get_schedule(made.schedule_id)).next_time is None
        changes = [log.change async for log in client.schedule_logs(made.schedule_id)]
        assert changes == ["created", "triggered"]


async def test_a_schedule_can_run_every_second(stack: stacks.Stack) -> None:
    async with duetime_client.AsyncClient(stack.address) as client:
        made = await client.create_schedule("each second", "echo", cron="* * * * * *")
        ran: list[datetime.datetime] = []
        while len(ran) < 3:
            upcoming = await client.get_schedule(made.schedule_id)
            done = await clients.finished(client, upcoming.next_task_id)
            assert done.nominal_time == done.execution_time == upcoming.next_time
            assert done.nominal_time is not None
            ran.append(done.nominal_time)
        assert sorted(set(ran)) == ran
        await client.delete_schedule(made.schedule_id)


async def test_recompute_moves_nothing_unless_time_zones_change(stack: stacks.Stack) -> None:
    async with duetime_client.AsyncClient(stack.address) as client:
        recomputed = await client.recompute_schedules()
        assert (recomputed.schedules, recomputed.tasks) == (0, 0)
        assert recomputed.time_zone_version.startswith("20")


async def test_the_command_line_manages_schedules(stack: stacks.Stack) -> None:
    async def run(line: str) -> str:
        return (await commands.run(stack, f"schedule {line}")).stdout

    rule = "--cron '0 3 * * *' --zone Europe/Lisbon --overlap skip"
    blackouts = "--blackout 'sat,sun 00:00-24:00' --blackout '2027-12-24..2027-12-26 move'"
    made = await commands.run(stack, f"schedule create nightly noop {rule} {blackouts} --json")
    assert made.returncode == 0, made.stderr
    schedule_id = json.loads(made.stdout)["schedule_id"]
    shown = await run(f"get {schedule_id}")
    assert "0 3 * * * Europe/Lisbon" in shown
    assert "sat,sun 00:00:00-00:00:00 skip; 2027-12-24..2027-12-26 move" in shown
    assert "nightly" in await run("list")
    assert "every 2h" in await run(f"update {schedule_id} --every 2h")
    assert "paused" in await run(f"pause {schedule_id}")
    assert "paused" not in await run(f"resume {schedule_id}")
    assert (await run(f"trigger {schedule_id}")).startswith("Task ")
    interval = "--from 2026-01-05T00:00Z --until 2026-01-05T12:00Z"
    assert await run(f"backfill {schedule_id} {interval}") == "7 tasks created\n"
    previewed = await run("preview --cron '0 9 * * mon' --zone Asia/Tokyo --count 2")
    assert previewed.count(" 09:00:00+09:00") == 2
    # In Melbourne, clocks go back from 03:00 to 02:00 on 4 April 2027.
    twice = "--zone Australia/Melbourne --start 2027-04-03T15:00:00Z --count 4"
    assert (await run(f"preview --cron '*/30 * * * *' {twice}")).count("+10:00 (repeated)") == 2
    assert "again" not in await run(f"preview --cron '*/30 * * * *' --repeated-time first {twice}")
    closed = "--blackout 2027-12-24 --blackout 'sat, sun' --blackout 'mon-fri 9:00-24:00 move'"
    shut = await run(f"update {schedule_id} --cron '0 3,12 * * *' {closed}")
    assert "2027-12-24..2027-12-24 skip; sat,sun 00:00:00-00:00:00 skip" in shut
    assert "mon,tue,wed,thu,fri 09:00:00-00:00:00 move" in shut
    assert "repeated times: auto" in shut
    assert "triggered" in await run(f"logs {schedule_id}")
    assert (await run("recompute")).startswith("0 schedules and 0 tasks moved by time zone database 20")
    assert await run(f"delete {schedule_id}") == "Schedule deleted successfully\n"


async def test_the_command_line_reports_invalid_rules(stack: stacks.Stack) -> None:
    wrong = await commands.run(stack, "schedule create wrong noop --cron '0 0 30 2 *'")
    assert (wrong.returncode, wrong.stderr) == (2, "Error: cron: never matches: there is no such date\n")
    blackout = await commands.run(stack, "schedule create wrong noop --blackout night")
    assert "is not a blackout such as" in blackout.stderr
    assert (await commands.run(stack, "schedule get 4000000000")).returncode == 3
