"""Rules that are costly to compute are answered at once, and do not delay other calls."""

import asyncio
import datetime
import time
from typing import Any

import grpc
import httpx
import pytest

from tests.acceptance import refusals

INVALID = grpc.StatusCode.INVALID_ARGUMENT
HALVES = [
    {"from_time": "00:00", "until_time": "12:00", "behavior": "move"},
    {"from_time": "12:00", "until_time": "00:00", "behavior": "move"},
]
RULES: dict[str, dict[str, Any]] = {
    "two halves of the day": {"cron": "* * * * *", "blackouts": HALVES},
    "the same fifty times": {"cron": "* * * * *", "blackouts": HALVES * 50},
    "always in one": {"cron": "0 3 * * *", "blackouts": [{"from_time": "02:00", "until_time": "05:00"}]},
    "a leap day on a Sunday": {"cron": "0 0 29 2 */7", "count": 1000},
    "each second between a hundred blackouts": {
        "cron": "* * * * * *",
        "time_zone": "Europe/Lisbon",
        "count": 1000,
        "blackouts": [
            {"from_time": f"{n // 6:02}:{n % 6}0:00", "until_time": f"{n // 6:02}:{n % 6}9:59"} for n in range(100)
        ],
    },
}
SHORT: dict[str, tuple[dict[str, Any], str, str]] = {
    "cron": ({"cron": f"{'0,' * 200_000}0 * * * *"}, "cron", "must be at most 256 characters; it has 400009"),
    "a step of 5,000 digits": ({"cron": f"*/{'9' * 5000} * * * *"}, "cron", "must be at most 256 characters"),
    "a month of 5,000 digits": ({"cron": f"0 0 1 {'9' * 5000} *"}, "cron", "must be at most 256 characters"),
    "time_zone": ({"cron": "@daily", "time_zone": "x" * 200_000}, "time_zone", "at most 64 characters; it has 200000"),
    "blackouts": ({"cron": "@daily", "blackouts": [{}] * 2_000}, "blackouts", "must be at most 100; there are 2000"),
    "days": (
        {"cron": "@daily", "blackouts": [{"days": ["mon"] * 2_000}]}, "blackouts[0].days", "must be at most 100"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
async def test_a_costly_rule_is_answered_at_once_by_every_rpc(rest: httpx.AsyncClient, name: str) -> None:
    rule = RULES[name]
    schedule = {key: value for key, value in rule.items() if key != "count"}
    body = {"name": "costly", "task": {"name": "noop", "queue": "nobody"}, **schedule}
    made = (await rest.post("/api/schedules", json={**body, "cron": "@yearly", "blackouts": []})).json()
    path = f"/api/schedules/{made['schedule_id']}"
    began = time.monotonic()
    answers = [
        await rest.post("/api/schedules:preview", json=rule),
        await rest.post("/api/schedules", json=body),
        await rest.patch(path, json=schedule),
    ]
    assert time.monotonic() - began < 5
    for answer in answers:
        if answer.status_code != 200:
            assert list(refusals.over_rest(answer).fields) == ["blackouts"]
        elif "schedule_id" in answer.json():
            await rest.delete(f"/api/schedules/{answer.json()['schedule_id']}")


async def test_other_calls_are_answered_during_costly_previews(rest: httpx.AsyncClient) -> None:
    async def preview() -> None:
        for rule in RULES.values():
            await rest.post("/api/schedules:preview", json=rule)

    previews = [asyncio.create_task(preview()) for _ in range(5)]
    waits = []
    while not all(each.done() for each in previews):
        began = time.monotonic()
        await rest.get("/api/tasks", params={"page_size": 1})
        waits.append(time.monotonic() - began)
    await asyncio.gather(*previews)
    # Before previews were bounded, one stopped all other calls for half a minute.
    assert max(waits) < 5


@pytest.mark.parametrize("name", SHORT)
async def test_too_long_values_are_refused_by_their_length(rest: httpx.AsyncClient, name: str) -> None:
    rule, field, right = SHORT[name]
    body = {"name": "long", "task": {"name": "noop"}, **rule}
    for path in ("/api/schedules:preview", "/api/schedules"):
        given = {name: value for name, value in body.items() if path == "/api/schedules" or name in rule}
        refused = refusals.over_rest(await rest.post(path, json=given))
        assert (refused.code, list(refused.fields)) == (INVALID, [field])
        assert right in refused.fields[field]


async def test_a_too_long_time_zone_of_a_task_is_refused_by_its_length(rest: httpx.AsyncClient) -> None:
    body = {"name": "noop", "local_time": "2030-01-01T00:00:00", "time_zone": "x" * 200_000}
    refused = refusals.over_rest(await rest.post("/api/tasks", json=body))
    assert refused.fields == {"time_zone": "must be at most 64 characters; it has 200000"}


async def test_blackouts_are_accepted_in_common_notations(rest: httpx.AsyncClient) -> None:
    start = datetime.datetime(2030, 7, 1)  # noqa: DTZ001 - a Monday
    cases = [
        ([{"days": ["sat", "sun"]}], "0 12 * * *", ["01", "02", "03", "04", "05", "08"]),
        ([{"days": ["mon-fri"]}], "0 12 * * *", ["06", "07", "13"]),
        ([{"days": ["fri-mon"]}], "0 12 * * *", ["02", "03", "04", "09"]),
        ([{"days": ["Mon,Wed", "thursday"]}], "0 12 * * *", ["02", "05", "06", "07", "09"]),
        ([{"from_time": "6:00", "until_time": "24:00"}], "0 5,6,23 * * *", ["01", "02", "03"]),
        ([{"from_time": "00:00", "until_time": "24:00", "days": ["mon"]}], "0 0,23 * * *", ["02", "02", "03"]),
    ]
    for blackouts, cron, days in cases:
        rule = {"cron": cron, "start_time": f"{start.isoformat()}Z", "blackouts": blackouts, "count": len(days)}
        answer = await rest.post("/api/schedules:preview", json=rule)
        assert answer.status_code == 200, answer.text
        assert [each[8:10] for each in answer.json()["times"]] == days


WRONG = {
    "24:00 as a begin": ({"from_time": "24:00", "until_time": "06:00"}, "from_time", "such as 22:00"),
    "25:00": ({"from_time": "22:00", "until_time": "25:00"}, "until_time", "a day may end at 24:00"),
    "noon": ({"from_time": "12pm", "until_time": "13:00"}, "from_time", "not '12pm'"),
    "one end": ({"from_time": "22:00"}, "until_time", "is required"),
    "a range of nonsense": ({"days": ["mon-caturday"]}, "days", "'mon-caturday'"),
    "half a range": ({"days": ["mon-"]}, "days", "'mon-'"),
    "two letters": ({"days": ["mo"]}, "days", "'mo'"),
    "days and dates": ({"days": ["mon"], "first_date": "2030-01-01"}, "first_date", "not be given together with days"),
    "an end alone": ({"last_date": "2030-01-01"}, "first_date", "is required with last_date"),
    "nothing": ({}, "from_time", "is required"),
    "a date of elsewhere": ({"first_date": "24.12.2030"}, "first_date", "such as 2027-12-24"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_invalid_blackout_is_refused_with_the_field(rest: httpx.AsyncClient, wrong: str) -> None:
    blackout, field, right = WRONG[wrong]
    refused = refusals.over_rest(
        await rest.post("/api/schedules:preview", json={"cron": "@daily", "blackouts": [blackout]})
    )
    assert list(refused.fields) == [f"blackouts[0].{field}"]
    assert right in refused.fields[f"blackouts[0].{field}"]


async def test_a_preview_marks_the_repeated_hour(rest: httpx.AsyncClient) -> None:
    # In Melbourne, daylight-saving time ends on 4 April 2027: clocks go back from 03:00 to 02:00.
    rule = {
        "cron": "*/30 * * * *",
        "time_zone": "Australia/Melbourne",
        "start_time": "2027-04-03T15:00:00Z",
        "count": 6,
    }
    shown = (await rest.post("/api/schedules:preview", json=rule)).json()["details"]
    assert [(each["local_time"][11:], each["repeated"]) for each in shown] == [
        ("02:00:00+11:00", False),
        ("02:30:00+11:00", False),
        ("02:00:00+10:00", True),
        ("02:30:00+10:00", True),
        ("03:00:00+10:00", False),
        ("03:30:00+10:00", False),
    ]
    first = (await rest.post("/api/schedules:preview", json={**rule, "repeated_time": "first"})).json()["details"]
    assert [each["local_time"][11:16] for each in first][:3] == ["02:00", "02:30", "03:00"]
