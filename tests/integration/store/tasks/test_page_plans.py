"""At 200,000 rows each filter of a list reads through its index, under custom and generic plans."""

import datetime
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.store.tasks import page as task_page
from tests.integration.store.tasks import test_plans
from tests.integration.store.tasks.test_plans import MODES, NOW, ROWS
from tests.support import plans


@pytest_asyncio.fixture(scope="module")
async def full(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """A connection to a database with many tasks of all kinds."""
    async with test_plans.filled(admin, test_plans.FILL) as connection:
        yield connection


OF_RUNS = {"waiting_pkey", "leases_expires_at_idx", "lease_floor_pkey", "payloads_pkey"}
"""What the tasks of a page are looked up in, whatever its filter: whether they run, where, and large task_data."""
BY_TIME = {"tasks_execution_time_idx", "ended_tasks_status_idx"}
BY_QUEUE = {"tasks_queue_idx", "ended_tasks_queue_idx"}
BY_NAME = {"tasks_name_idx", "ended_tasks_name_idx"}
BY_SCHEDULE = {"tasks_schedule_idx", "ended_tasks_schedule_idx"}
BY_KEY = {"tasks_key_idx", "ended_tasks_key_idx"}
BY_REQUEST = {"request_ids_pkey", "tasks_pkey", "ended_tasks_pkey"}
FILTERS = {
    "all": (task_page.Filter(), BY_TIME),
    "status": (task_page.Filter(statuses=(task.Status.FAILED,)), {"ended_tasks_status_idx"}),
    "rare status": (task_page.Filter(statuses=(task.Status.RUNNING,)), {"tasks_pkey"}),
    "statuses": (
        task_page.Filter(statuses=(task.Status.FAILED, task.Status.RUNNING)),
        {"tasks_pkey", "ended_tasks_status_idx"},
    ),
    "queue": (task_page.Filter(queue="queue-7"), BY_QUEUE),
    "name": (task_page.Filter(name="name 7"), BY_NAME),
    "queue, and waiting tasks": (
        task_page.Filter(queue="queue-8", statuses=(task.Status.PENDING,)),
        {"tasks_queue_idx"},
    ),
    "queue, and how it ended": (
        task_page.Filter(queue="queue-7", statuses=(task.Status.FAILED, task.Status.COMPLETED)),
        {"ended_tasks_queue_idx"},
    ),
    "a schedule": (task_page.Filter(schedule_id=7), BY_SCHEDULE),
    "a schedule with most tasks": (task_page.Filter(schedule_id=1), BY_SCHEDULE),
    "a schedule without tasks": (task_page.Filter(schedule_id=ROWS), BY_SCHEDULE),
    "a schedule, and how it ended": (
        task_page.Filter(schedule_id=7, statuses=(task.Status.COMPLETED,)),
        {"ended_tasks_schedule_idx"},
    ),
    "a key": (task_page.Filter(concurrency_key="key 17"), BY_KEY),
    "a key with most tasks": (task_page.Filter(concurrency_key="many"), BY_KEY),
    "a key without tasks": (task_page.Filter(concurrency_key="none"), BY_KEY),
    "a key, and how it ended": (
        task_page.Filter(concurrency_key="key 17", statuses=(task.Status.COMPLETED,)),
        {"ended_tasks_key_idx"},
    ),
    "a request": (task_page.Filter(request_id="request 10"), BY_REQUEST),
    "a request, and more": (
        task_page.Filter(request_id="request 10", queue="queue-7", schedule_id=1, statuses=(task.Status.FAILED,)),
        BY_REQUEST,
    ),
    "the beginning of a name": (task_page.Filter(name_prefix="name 17"), BY_NAME),
    "the beginning of no name": (task_page.Filter(name_prefix="zzz"), BY_NAME),
    "the beginning of a name, and how it ended": (
        task_page.Filter(name_prefix="name 1", statuses=(task.Status.FAILED,)),
        BY_NAME,  # names are searched among all tasks
    ),
    "due": (task_page.Filter(due_from=NOW, due_before=NOW + datetime.timedelta(hours=1)), BY_TIME),
}
_OF_PARTITION = re.compile(
    r"ended_tasks_(?:default|d[0-9]+)_(?:namespace_id_|ended_tasks_)?(status|name|queue|schedule|(?:concurrency_)?key|pkey)"
)


def _whole(index: str) -> str:
    """Returns the index of `ended_tasks` for that of a partition."""
    found = _OF_PARTITION.match(index)
    if found is None:
        return index
    column = found[1].removeprefix("concurrency_")
    return "ended_tasks_pkey" if column == "pkey" else f"ended_tasks_{column}_idx"


@MODES
@pytest.mark.parametrize("after", [None, (NOW, ROWS // 2)], ids=["first page", "a later page"])
@pytest.mark.parametrize("order", ["execution_time", "execution_time desc"])
@pytest.mark.parametrize("name", FILTERS)
async def test_a_list_reads_through_the_index_of_its_filter(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, name: str, order: task_page.Order, after: Any
) -> None:
    wanted, indexes = FILTERS[name]
    statement, parameters = task_page.list_statement(wanted, order=order, after=after)
    used = await test_plans.scans(full, mode, statement, {**parameters, "limit": 51})
    assert used
    assert {_whole(index) for index in used.values()} <= indexes | OF_RUNS


@MODES
@pytest.mark.parametrize("order", ["task_id", "task_id desc"])
@pytest.mark.parametrize("name", FILTERS)
async def test_a_list_by_id_never_reads_the_whole_table(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, name: str, order: task_page.Order
) -> None:
    statement, parameters = task_page.list_statement(FILTERS[name][0], order=order, after=None)
    used = await test_plans.scans(full, mode, statement, {**parameters, "limit": 51})
    assert used
    assert "Seq Scan" not in used.values()


@MODES
@pytest.mark.parametrize("order", ["execution_time", "task_id desc"])
@pytest.mark.parametrize(
    "name", ["a schedule", "a schedule with most tasks", "a key", "a key with most tasks", "a request"]
)
async def test_a_page_of_a_filter_reads_few_blocks(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, name: str, order: task_page.Order
) -> None:
    statement, parameters = task_page.list_statement(FILTERS[name][0], order=order, after=None)
    plan = await plans.explain(full, mode, statement, {**parameters, "limit": 51})
    assert plans.buffers(plan) < 2_500  # of 7,000 that the table has


@MODES
async def test_a_name_prefix_reads_a_page_of_each_name_and_counts_them_cheaply(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    wanted = task_page.Filter(name_prefix="name 17")  # 11 names, each with 1,000 tasks
    statement, parameters = task_page.list_statement(wanted, order="execution_time", after=None)
    plan = await plans.explain(full, mode, statement, {**parameters, "limit": 51})
    assert plans.buffers(plan) < 2_500
    # Of each name, the index of each partition is read.
    assert plans.buffers(await plans.explain(full, mode, task_page.COUNT_NAMES, parameters)) < 1_000


@MODES
async def test_several_filters_together_never_read_the_whole_table(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    wanted = task_page.Filter(
        schedule_id=7, concurrency_key="key 17", queue="queue-1", name="name 1", name_prefix="na", due_from=NOW
    )
    statement, parameters = task_page.list_statement(wanted, order="execution_time", after=None)
    used = await test_plans.scans(full, mode, statement, {**parameters, "limit": 51})
    assert used
    assert "Seq Scan" not in used.values()
