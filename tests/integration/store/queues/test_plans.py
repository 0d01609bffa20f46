"""Among 30,000 queues one is found by its name, and each page costs the same."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.queues import read as queue_read
from tests.integration.store.tasks import test_plans
from tests.support import backlogs, plans

QUEUES = 30_000

_DUE = {"execution_time": "now() - interval '1 minute'", "priority": "n % 2"}
_FILL = f"""
{backlogs.insertion(QUEUES, queue="'queue-' || lpad(CAST(n AS text), 6, '0')", **_DUE)};
INSERT INTO queues (name, max_running)
SELECT 'queue-' || lpad(CAST(n AS text), 6, '0'), 5 FROM generate_series(1, {QUEUES}) AS n;
INSERT INTO queue_logs (queue, change, changes, actor)
SELECT name, 'updated', '[["max_running", null, 5]]', 'api' FROM queues, generate_series(1, 3);
"""


@pytest_asyncio.fixture(scope="module")
async def full(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """A connection to a database with many queues."""
    async with test_plans.filled(admin, _FILL) as connection:
        yield connection


@test_plans.MODES
@pytest.mark.parametrize("name", ["queue-015000", "no-such-queue"])
@pytest.mark.parametrize("statement", [queue_read._GET, queue_read._EXISTS], ids=["get", "exists"])
async def test_one_queue_is_found_by_its_name(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, name: str, statement: sa.TextClause
) -> None:
    plan = await plans.explain(full, mode, statement, {"queue": name})
    assert plans.buffers(plan) < 150


@test_plans.MODES
@pytest.mark.parametrize("after", ["", "queue-015000", "queue-029940"])
@pytest.mark.parametrize(
    ("statement", "most"), [(queue_read._LIST, 5000), (queue_read._NAMES, 1000)], ids=["queues", "names"]
)
async def test_each_page_of_queues_costs_the_same(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, after: str, statement: sa.TextClause, most: int
) -> None:
    plan = await plans.explain(full, mode, statement, {"after": after, "limit": 51})
    assert plan["Actual Rows"] == 51
    assert plans.buffers(plan) < most


_BACKLOG = backlogs.insertion(100_000, queue="'mail'", **_DUE) + ";"


@test_plans.MODES
async def test_a_queue_costs_the_same_whatever_its_backlog(admin: sqlalchemy_asyncio.AsyncEngine, mode: str) -> None:
    async with test_plans.filled(admin, _BACKLOG) as connection:
        plan = await plans.explain(connection, mode, queue_read._GET, {"queue": "mail"})
        assert plans.buffers(plan) < 2_500


@test_plans.MODES
async def test_a_log_is_read_by_its_queue(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    parameters = {"queue": "queue-015000", "after": 0, "limit": 51}
    assert await test_plans.scans(full, mode, queue_limit._LIST_LOGS, parameters) == {
        "queue_logs": "queue_logs_queue_idx"
    }
