"""Soft-deleted tasks cost lists nothing, and tables that change with each task are vacuumed by numbers."""

import datetime
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.store.tasks import history, page
from tests.integration.store.tasks import test_plans
from tests.integration.store.tasks.test_plans import MODES
from tests.support import plans

Engine = sqlalchemy_asyncio.AsyncEngine
DELETED = 50_000
KEPT = 10
MOST_BLOCKS = 600
"""The lists read 49 to 207 blocks; with the deleted tasks in their indexes it would be 1,570 and more."""

FILL = f"""
INSERT INTO ended_tasks (task_id, status, name, queue, execution_time, task_data, retry_initial_backoff,
    retry_max_backoff, retry_multiplier, retry_jitter, concurrency_key, schedule_id, ended_at, deleted_at)
SELECT number, (ARRAY['completed', 'failed', 'cancelled'])[1 + number % 3], 'report', 'reports',
    now() - interval '1 day' + number * interval '1 ms', '{{}}', '1 second', '1 hour', 2, 0.1, 'key', 1, now(),
    CASE WHEN number % ({DELETED} / {KEPT}) = 0 THEN NULL ELSE now() END
FROM generate_series(1, {DELETED}) AS number;
ANALYZE ended_tasks;
"""


@pytest_asyncio.fixture(scope="module")
async def full(admin: Engine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """A connection to a database with many deleted tasks, and few others among them."""
    async with test_plans.filled(admin, FILL) as connection:
        yield connection


FILTERS = {
    "all": page.Filter(),
    "how it ended": page.Filter(statuses=(task.Status.FAILED, task.Status.COMPLETED, task.Status.CANCELLED)),
    "a queue": page.Filter(queue="reports"),
    "a name": page.Filter(name="report"),
    "the beginning of a name": page.Filter(name_prefix="rep"),
    "a key": page.Filter(concurrency_key="key"),
    "a schedule": page.Filter(schedule_id=1),
    "a time": page.Filter(queue="reports", due_from=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
}


@pytest.mark.parametrize("order", ["execution_time", "execution_time desc"])
@MODES
@pytest.mark.parametrize("wanted", list(FILTERS.values()), ids=list(FILTERS))
async def test_a_list_reads_few_blocks_beside_50_000_deleted_tasks(
    full: sqlalchemy_asyncio.AsyncConnection, wanted: page.Filter, mode: str, order: page.Order
) -> None:
    statement, parameters = page.list_statement(wanted, order=order, after=None)
    plan = await plans.explain(full, mode, statement, {**parameters, "limit": 100})
    assert plan["Actual Rows"] == KEPT
    assert plans.buffers(plan) < MOST_BLOCKS


_INDEXES = sa.text("""
SELECT pg_class.relname, pg_get_expr(indpred, indrelid) AS condition
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_class AS indexed ON indexed.oid = indrelid
WHERE indexed.relname LIKE 'ended\\_tasks%' AND NOT indisprimary
""")


async def test_every_index_of_lists_of_finished_tasks_is_without_the_deleted_ones(engine: Engine) -> None:
    await history.create_ahead(engine, datetime.timedelta(days=30))
    async with engine.connect() as connection:
        indexes = (await connection.execute(_INDEXES)).all()
    assert len(indexes) > 10 * len({index.relname.split("_")[-2] for index in indexes})  # those of partitions too
    assert all("deleted_at IS NULL" in (index.condition or "") for index in indexes), indexes


@pytest.mark.parametrize(("table", "threshold"), [("tasks", 20_000), ("waiting", 20_000), ("leases", 5_000)])
async def test_a_table_that_changes_with_each_task_is_vacuumed_by_numbers(
    engine: Engine, table: str, threshold: int
) -> None:
    options = sa.text("SELECT reloptions FROM pg_class WHERE oid = CAST(:table AS regclass)")
    async with engine.connect() as connection:
        found = dict(each.split("=") for each in await connection.scalar(options, {"table": table}))
    assert float(found["autovacuum_vacuum_scale_factor"]) == 0
    assert int(found["autovacuum_vacuum_threshold"]) == threshold
