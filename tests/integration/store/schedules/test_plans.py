"""100,000 schedules that are not due cost nothing; due ones are found through their index."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.store.claiming import fast
from duetime_core.store.schedules import advance as schedule_advance
from duetime_core.store.schedules import candidates, next_locks, occurrences
from duetime_core.store.schedules import page as schedule_page
from tests.integration.store.tasks import test_plans
from tests.support import backlogs, factories, plans

SCHEDULES = 100_000
DUE = 20

_AT = f"now() + (schedule_id - {DUE}) * interval '1 second'"
_NEXT = backlogs.made("schedules", execution_time=_AT, schedule_id="schedule_id", nominal_time=_AT, is_next="true")
_DAY_AGO = "now() - interval '1 day'"
_EARLIER = backlogs.made(
    "schedules", status="'completed'", execution_time=_DAY_AGO, schedule_id="schedule_id", nominal_time=_DAY_AGO
)
_FILL = f"""
INSERT INTO schedules (name, spec, template, overlap, catch_up, is_paused, last_nominal_time, zone_version)
SELECT CASE WHEN n % 2 = 0 THEN 'most' ELSE 'schedule ' || n END,
    '{{"cron": "0 9 * * *", "time_zone": "UTC", "missing_time": "shift", "repeated_time": "first"}}',
    jsonb_build_object('name', 'noop', 'task_data', jsonb_build_object(), 'max_retries', 3, 'initial_backoff', 1,
        'max_backoff', 1, 'multiplier', 2, 'jitter', 0,
        'queue', CASE WHEN n % 20000 = 0 THEN 'rare' ELSE 'default' END),
    'allow', 'last', n % 20000 = 7, now(), '2026a'
FROM generate_series(1, {SCHEDULES}) AS n;
WITH {_NEXT} SELECT count(*) FROM made;
UPDATE schedules SET advance_at = {_AT};
WITH {_EARLIER} SELECT count(*) FROM made;
"""
LOCKED = {"schedule_ids": list(range(1, 201)), "nominal_times": [None] * 200, "overlaps": ["allow", "skip"] * 100}
CLAIM = {"queue": "default", "worker_id": "worker", "limit": 100, "lease": factories.LEASE, **test_plans.SINCE}


@pytest_asyncio.fixture(scope="module")
async def full(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """A connection to a database with many schedules, of which a few are due."""
    async with test_plans.filled(admin, _FILL) as connection:
        yield connection


@test_plans.MODES
async def test_a_claim_reads_no_schedule_that_is_not_due(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    plan = await plans.explain(full, mode, fast._CLAIM, CLAIM)
    assert plans.buffers(plan) < 200


@test_plans.MODES
async def test_advancing_reads_due_schedules_in_order(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    for statement in (schedule_advance._LOCK_OLDEST, schedule_advance._LOCK_NEWEST):
        plan = await plans.explain(full, mode, statement, {"limit": 10})
        assert "schedules_advance_idx" in str(plan)
        assert "Sort" not in str(plan)
        assert plans.buffers(plan) < 100
    used = await test_plans.scans(full, mode, next_locks.LOCK, LOCKED)
    assert set(used.values()) <= {
        *("waiting_next_key", "waiting_pkey", "tasks_pkey", "tasks_schedule_idx"),
        *("schedules_pkey", "nominal_times_pkey", "Function Scan"),
    }
    assert await test_plans.scans(full, mode, schedule_advance._NEXT_AT, {}) == {"schedules": "schedules_advance_idx"}


@test_plans.MODES
async def test_looking_for_schedules_that_may_advance_earlier_reads_no_others(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    waiting = {"after": 0, "limit": candidates.PAGE}
    assert "schedules_waiting_idx" in (await test_plans.scans(full, mode, candidates._WAITING, waiting)).values()
    newest, task_id = candidates._NEWEST
    moved = {"queues": ["default"], "before": [newest], "before_ids": [task_id], "limit": candidates.PAGE}
    assert "waiting_next_idx" in (await test_plans.scans(full, mode, candidates._MOVED, moved)).values()
    for statement, parameters, most in ((candidates._WAITING, waiting, 10), (candidates._MOVED, moved, 20 * DUE)):
        assert plans.buffers(await plans.explain(full, mode, statement, parameters)) < most


@test_plans.MODES
async def test_creating_occurrences_finds_each_nominal_time_through_its_index(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    given = {"name": "noop", "queue": "default", "task_data": {}, "max_retries": 3, "initial_backoff": "1 s"}
    given |= {"max_backoff": "1 s", "multiplier": 2, "jitter": 0, "priority": 0, "is_next": False}
    news = [{**given, "schedule_id": number, "nominal_time": "2020-01-01T00:00:00Z"} for number in range(1, 1001)]
    parameters = {"tasks": json.dumps(news), "actor": "api"}
    assert await test_plans.scans(full, mode, occurrences._INSERT, parameters) == {
        "nominal_times": "nominal_times_pkey"
    }


@pytest.mark.parametrize("page", [0, SCHEDULES - 100])
async def test_each_page_of_schedules_costs_the_same(full: sqlalchemy_asyncio.AsyncConnection, page: int) -> None:
    statement, _ = schedule_page.list_statement(schedule_page.Filter())
    plan = await plans.explain(full, "force_generic_plan", statement, {"after": page, "limit": 50})
    assert plans.buffers(plan) < 800


# What is found of each filter, which most schedules match, few or none.
FILTERS = {
    "a name": (schedule_page.Filter(name="schedule 99999"), {"schedules_name_idx"}),
    "the name of most": (schedule_page.Filter(name="most"), {"schedules_name_idx"}),
    "no name": (schedule_page.Filter(name="none"), {"schedules_name_idx"}),
    "a queue": (schedule_page.Filter(queue="rare"), {"schedules_queue_idx"}),
    "the queue of most": (schedule_page.Filter(queue="default"), {"schedules_queue_idx"}),
    "no queue": (schedule_page.Filter(queue="none"), {"schedules_queue_idx"}),
    "paused": (schedule_page.Filter(is_paused=True), {"schedules_paused_idx"}),
    "not paused": (schedule_page.Filter(is_paused=False), {"schedules_paused_idx"}),
    "several": (
        schedule_page.Filter(name="most", queue="rare", is_paused=True),
        {"schedules_name_idx", "schedules_queue_idx", "schedules_paused_idx"},
    ),
}


@test_plans.MODES
@pytest.mark.parametrize("after", [0, SCHEDULES - 100])
@pytest.mark.parametrize("name", FILTERS)
async def test_a_list_of_schedules_reads_through_the_index_of_its_filter(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, name: str, after: int
) -> None:
    wanted, indexes = FILTERS[name]
    statement, parameters = schedule_page.list_statement(wanted)
    parameters |= {"after": after, "limit": 51}
    used = await test_plans.scans(full, mode, statement, parameters)
    used.pop("tasks", None)  # the next occurrence of each
    assert used
    assert {index for index in used.values() if index.startswith("schedules") or "Scan" in index} <= indexes
    if name != "several":  # of which one index is read, whose schedules are then checked
        assert plans.buffers(await plans.explain(full, mode, statement, parameters)) < 1_000
