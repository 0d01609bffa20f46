"""A million finished tasks and their logs slow nothing down: each statement reads about as much as without them."""

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.claiming import fast, rescue
from duetime_core.store.tasks import page as task_page
from duetime_core.store.tasks import read as task_read
from tests import conftest
from tests.integration.store.tasks import test_plans
from tests.support import backlogs, plans, rows

FINISHED = 1_000_000
KEEP = datetime.timedelta(days=30)


def _insertion(count: int, status: str, time: str) -> str:
    return backlogs.insertion(
        count,
        name="'name ' || n % 20",
        queue="'queue-' || n % 10",
        status=status,
        execution_time=time,
        updated_at=time,
        version="3",
    )


_LOGS = f"""
INSERT INTO task_logs (task_id, version, status, change, timestamp, execution_time, retry_count, actor)
SELECT task_id, version, status, 'any', updated_at, execution_time, 0, 'worker'
FROM {rows.ALL} AS tasks WHERE task_id > :after
"""
_FINISHED = "(ARRAY['completed', 'failed', 'cancelled'])[1 + n % 3]"
FEW = [  # due tasks, later ones, and those that retention deletes
    _insertion(3000, "'pending'", "now() - n * interval '1 second'"),
    _insertion(3000, "'pending'", "now() + n * interval '1 minute'"),
    _insertion(6000, _FINISHED, "now() - interval '31 days' - n * interval '1 minute'"),
]
MANY = _insertion(FINISHED, _FINISHED, "now() - n * interval '2 seconds'")

STATEMENTS: dict[str, tuple[sa.TextClause, dict[str, Any]]] = {
    "a claim": (
        fast._CLAIM,
        {"queue": "queue-4", "worker_id": "worker", "lease": KEEP, "limit": 100, **test_plans.SINCE},
    ),
    "a sweep": (rescue._RECLAIM, {"worker_id": "worker", "limit": rescue.BATCH, "before": None}),
    "a history": (task_read._LIST_LOGS, {"task_id": 5, "after_version": 0, "limit": 50}),
    "a task": (task_read._GET, {"task_id": 5}),
}
_FILTERS = {
    **{f"{status} tasks": task_page.Filter(statuses=(status,)) for status in task.Status},
    "all tasks": task_page.Filter(),
    "a queue": task_page.Filter(queue="queue-7"),
    "a name": task_page.Filter(name="name 7"),
}
for _name, _wanted in _FILTERS.items():
    for _order in ("execution_time", "execution_time desc"):
        _statement, _parameters = task_page.list_statement(_wanted, order=_order, after=None)
        STATEMENTS[f"a list of {_name} by {_order}"] = (_statement, {**_parameters, "limit": 51})


async def measure(connection: sqlalchemy_asyncio.AsyncConnection) -> dict[str, int]:
    """Returns how many blocks each statement touches."""
    await connection.execute(sa.text("VACUUM ANALYZE"))
    return {
        name: plans.buffers(await plans.explain(connection, "force_generic_plan", statement, parameters))
        for name, (statement, parameters) in STATEMENTS.items()
    }


@pytest.mark.timeout(240)  # it takes 20 s on an idle machine
async def test_a_million_finished_tasks_are_not_read(admin: sqlalchemy_asyncio.AsyncEngine) -> None:
    async with conftest.new_database(admin) as url:
        engine = database.connect(url, pool_size=1)
        async with engine.connect() as connection:
            await database.wait_indefinitely(connection)
            await connection.execute(sa.text("SET statement_timeout = 0"))
            for statement in FEW:
                await connection.execute(sa.text(statement))
            await connection.execute(sa.text(_LOGS), {"after": 0})
            without = await measure(connection)
            last = max(await rows.ids(connection))
            await connection.execute(sa.text(MANY))
            await connection.execute(sa.text(_LOGS), {"after": last})
            among = await measure(connection)
        await engine.dispose()
    blocks = {name: (without[name], among[name]) for name in STATEMENTS}
    assert {name: both for name, both in blocks.items() if both[1] > max(2 * both[0], 500)} == {}
