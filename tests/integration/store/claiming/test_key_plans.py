"""The statements for limits per key read what belongs to their keys, and nothing of the backlog."""

import datetime
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import schema
from duetime_core.store.claiming import key_limits, keys, locked
from tests.integration.store.tasks import test_plans
from tests.support import backlogs, plans

NOW = datetime.datetime.now(datetime.UTC)
FEW = [f"key {number}" for number in range(100)]
FLOOR = [datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)] * (schema.MAX_LEVEL + 1)
_TASKS = backlogs.insertion(
    50_000,
    status="CASE WHEN n <= 2000 THEN 'running' ELSE 'pending' END",
    execution_time="now() - interval '1 hour'",
    updated_at="now() - interval '1 hour'",
    concurrency_key="'key ' || n % 2000",
    worker_id="CASE WHEN n <= 2000 THEN 'worker' END",
    lease_expires_at="CASE WHEN n <= 2000 THEN now() + interval '1 hour' END",
    priority="CASE WHEN n % 10000 < 100 THEN 5 ELSE 0 END",
)
_FILL = f"""
{_TASKS};
INSERT INTO queues (name, max_running_per_key) VALUES ('default', 1);
INSERT INTO queue_keys (queue, concurrency_key, tokens, tokens_at, waits_until)
SELECT 'default', 'key ' || n, 0, 'epoch', CASE WHEN n % 100 = 0 THEN now() - interval '1 s' ELSE '9999-01-01' END
FROM generate_series(0, 1999) AS n;
"""
STATEMENTS: dict[str, tuple[sa.TextClause, dict[str, Any], int]] = {
    "state": (keys._READ, {"keys": FEW}, 1500),
    "free keys": (keys._FREE, {"now": NOW, "limit": 500}, 100),
    "next free": (keys._NEXT_FREE, {"now": NOW, "for_a_run": keys.FOR_A_RUN}, 40),
    "ended": (keys._ENDED, {"now": NOW, "keys": FEW[:5], "for_a_run": keys.FOR_A_RUN}, 150),
    "idle": (keys._DELETE_IDLE, {"full_at": NOW}, 20),
    "first tasks": (key_limits._FIRST, {"keys": FEW, "places": [1] * len(FEW), "limit": 0, "floor": FLOOR}, 5000),
    "keys": (key_limits._NEXT_KEYS, {"after_key": "key 5", "limit": 100}, 1500),
    "a claim": (
        locked._CLAIM_PICKED,
        {
            **test_plans.SINCE,
            "task_ids": list(range(30_000, 30_010)),
            "keys": [f"key {task_id % 2000}" for task_id in range(30_000, 30_010)],
            "worker_id": "worker",
            "lease": test_plans.LEASE,
        },
        700,
    ),
}


@pytest_asyncio.fixture(scope="module")
async def full(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """A connection to a database with a backlog of many keys."""
    async with test_plans.filled(admin, _FILL) as connection:
        yield connection


@test_plans.MODES
@pytest.mark.parametrize("name", STATEMENTS)
async def test_the_backlog_of_other_keys_is_not_read(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, name: str
) -> None:
    statement, parameters, most = STATEMENTS[name]
    plan = await plans.explain(full, mode, statement, {"queue": "default", **parameters})
    assert plans.buffers(plan) < most, plan


@test_plans.MODES
async def test_of_a_backlog_of_keys_that_wait_a_claim_is_sent_the_last_task_and_those_of_other_keys(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    parameters = {"queue": "default", "limit": 500, **test_plans.SINCE}
    plan = await plans.explain(full, mode, key_limits._SCAN_OLD, parameters)
    assert plan["Actual Rows"] <= 500 / 100 + 1  # every hundredth key became free
    assert plans.buffers(plan) < 4_000


async def test_keys_whose_runs_have_ended_are_found_without_comparing_each_key_with_each(
    full: sqlalchemy_asyncio.AsyncConnection,
) -> None:
    parameters = {"queue": "default", "for_a_run": keys.FOR_A_RUN, "limit": 1_000}
    plan = await plans.explain(full, "force_generic_plan", keys._FIND_ENDED, parameters)
    assert plan["Actual Rows"] == 0
    assert plans.most_rows(plan) < 5 * 2000
