"""At 200,000 rows each statement of the hot paths reads through its index, under custom and generic plans."""

import contextlib
import datetime
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store import encoding, leases
from duetime_core.store.claiming import bounds, fast, rescue
from duetime_core.store.log import feed
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import creation
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from tests import conftest
from tests.support import backlogs, factories, plans, rows

ROWS = 200_000
LEASE = datetime.timedelta(seconds=30)
NOW = datetime.datetime.now(datetime.UTC)

_STATUS = "(ARRAY['pending', 'completed', 'failed', 'cancelled'])[1 + n % 4]"
_TASKS = backlogs.insertion(
    ROWS,
    name="'name ' || n % 200",
    queue="'queue-' || n % 50",
    status=f"CASE WHEN n % 1000 = 0 THEN 'running' ELSE {_STATUS} END",
    execution_time=f"now() + (n - {ROWS // 2}) * interval '1 second'",
    worker_id="CASE WHEN n % 1000 = 0 THEN 'worker' END",
    lease_expires_at="CASE WHEN n % 1000 = 0 THEN now() + (n % 100000 - 5000) * interval '1 second' END",
    version="2",
    lost_leases="CASE WHEN n % 500 = 4 THEN 1 + n % 3 ELSE 0 END",
    # Half of the tasks that have one have the same: what is right for those is wrong for all others.
    schedule_id="CASE WHEN n % 3 = 0 THEN CASE WHEN n % 2 = 0 THEN 1 ELSE 2 + n % 100 END END",
    nominal_time="CASE WHEN n % 3 = 0 THEN now() + n * interval '1 second' END",
    concurrency_key="CASE WHEN n % 7 < 3 THEN CASE WHEN n % 2 = 0 THEN 'many' ELSE 'key ' || n % 300 END END",
    request_id="CASE WHEN n % 2 = 0 THEN 'request ' || n END",
)
FILL = f"""
{_TASKS};
INSERT INTO task_logs (task_id, version, status, change, execution_time, retry_count, actor, queue, name)
SELECT task_id, number, 'pending', 'created', execution_time, 0, 'api', queue, name
FROM {rows.ALL} AS tasks, generate_series(1, 2) AS number;
"""


def _fill_one_queue(count: int) -> str:
    return backlogs.insertion(count, name="'name'", execution_time="now() - interval '1 minute'") + ";"


@contextlib.asynccontextmanager
async def filled(
    admin: sqlalchemy_asyncio.AsyncEngine, statements: str
) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """Creates a database, fills it by the statements and analyzes it."""
    async with conftest.new_database(admin) as url:
        engine = database.connect(url, pool_size=1)
        async with engine.connect() as connection:
            await connection.execute(sa.text("SET statement_timeout = 0"))
            await database.wait_indefinitely(connection)
            for statement in statements.split(";")[:-1]:
                await connection.execute(sa.text(statement))
            await connection.execute(sa.text("VACUUM ANALYZE"))
            yield connection
        await engine.dispose()


@pytest_asyncio.fixture(scope="module")
async def full(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """A connection to a database with many tasks of all kinds, and the snapshot before the last twenty changes."""
    async with filled(admin, FILL) as connection:
        snapshot = (await connection.execute(sa.text("SELECT CAST(pg_current_snapshot() AS text)"))).scalar_one()
        connection.info["snapshot"] = snapshot
        for task_id in range(1, 21):
            row = f"({task_id}, 3, 'pending', 'updated', now(), 0, 'api', 'default', 'name')"
            columns = "task_id, version, status, change, execution_time, retry_count, actor, queue, name"
            await connection.execute(sa.text(f"INSERT INTO task_logs ({columns}) VALUES {row}"))
        yield connection


@pytest_asyncio.fixture(scope="module", params=[20, 50_000], ids=["few", "many"])
async def one_queue(
    admin: sqlalchemy_asyncio.AsyncEngine, request: pytest.FixtureRequest
) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """A connection to a database of which all indexes in the order of execution look alike: one queue, all pending.

    Where there are few, reading all of them looks best; and the plan is kept when they are many.
    """
    async with filled(admin, _fill_one_queue(request.param)) as connection:
        yield connection


async def scans(
    connection: sqlalchemy_asyncio.AsyncConnection, mode: str, statement: sa.TextClause, parameters: dict[str, Any]
) -> dict[str, str]:
    """Runs the statement, rolls it back, and returns how its plan read each table: the index, or the kind of scan."""
    plan = await plans.explain(connection, mode, statement, parameters)
    found: dict[str, str] = {}

    def visit(node: dict[str, Any]) -> None:
        relation = node.get("Relation Name", "")
        # Reading a partition without rows costs nothing.
        is_partition = relation.startswith(("task_logs", "ended_tasks"))
        was_read = node["Actual Loops"] and not (is_partition and node["Actual Rows"] == 0)
        if relation and was_read:
            found[node["Alias"]] = node.get("Index Name", node["Node Type"])
        if "Index Name" in node and not relation:  # below a bitmap scan
            found[node["Index Name"]] = node["Index Name"]
        for child in node.get("Plans", ()):
            visit(child)

    visit(plan)
    return {alias: index for alias, index in found.items() if index not in ("ModifyTable", "Bitmap Heap Scan")}


def _outcomes(task_ids: Sequence[int]) -> dict[str, str]:
    done = task.Change.COMPLETED
    return task_outcomes._encode([task_outcomes.Outcome(task_id, 2, done, LEASE, NOW, 1) for task_id in task_ids])


SINCE = bounds.Bounds().parameters
CLAIM_INDEXES = {
    *("waiting_due_idx", "waiting_urgent_idx", "waiting_next_idx", "waiting_pkey"),
    *("tasks_pkey", "queues_pkey", "payloads_pkey"),
}
LEASE_INDEXES = {"leases_expires_at_idx", "leases_pkey", "lease_floor_pkey", "tasks_pkey"}
MODES = pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])


@MODES
async def test_a_claim_reads_due_tasks_in_order(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    parameters = {"queue": "queue-4", "worker_id": "worker", "limit": 100, "lease": LEASE, **SINCE}
    used = await scans(full, mode, fast._CLAIM, parameters)
    assert set(used.values()) <= CLAIM_INDEXES
    assert "waiting_due_idx" in used.values()


@MODES
async def test_a_claim_reads_its_own_index_where_another_looks_as_cheap(
    one_queue: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    parameters = {"queue": "default", "worker_id": "worker", "limit": 100, "lease": LEASE, **SINCE}
    used = await scans(one_queue, mode, fast._CLAIM, parameters)
    assert set(used.values()) <= CLAIM_INDEXES
    assert "waiting_due_idx" in used.values()


@MODES
async def test_an_outcome_and_an_extension_read_their_tasks_where_none_ran_before(
    one_queue: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    task_ids = list(range(1, 501))
    extension = {"worker_id": "worker", "lease_ids": task_ids, "lease": LEASE}
    assert set((await scans(one_queue, mode, leases._EXTEND, extension)).values()) <= {"leases_pkey"}
    outcomes = {"worker_id": "worker", "lease_ids": "{}", **_outcomes(task_ids)}
    used = await scans(one_queue, mode, task_outcomes._RECORD, outcomes)
    assert set(used.values()) <= {"tasks_pkey", "leases_pkey"}


@MODES
async def test_a_batch_of_creates_does_not_compare_each_task_with_all_others(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    news = [factories.new_task(request_id=str(number) if number % 2 else None) for number in range(1000)]
    tasks = json.dumps([task_create._encode(new) for new in news])
    parameters = {"tasks": tasks, "actor": "api"}
    plan = await plans.explain(full, mode, creation.CREATE_ALL, parameters)
    assert plan["Actual Rows"] == 1001
    assert '"Nested Loop"' not in json.dumps(plan)
    assert await scans(full, mode, creation.CREATE_ALL, parameters) == {"earlier": "request_ids_pkey"}


@MODES
@pytest.mark.parametrize("level", fast.LEVELS)
async def test_a_claim_of_quarantined_tasks_reads_no_others(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, level: int
) -> None:
    parameters = {"queues": ["queue-4", "queue-8"], "worker_id": "worker", "limit": 25, "lease": LEASE}
    used = await scans(full, mode, fast._CLAIM_QUARANTINED[level], parameters)
    assert set(used.values()) <= {
        *("waiting_quarantined_idx", "waiting_pkey"),
        *("tasks_pkey", "queues_pkey", "payloads_pkey"),
    }
    assert "waiting_quarantined_idx" in used.values()


@MODES
async def test_a_sweep_reads_expired_leases_only(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    used = await scans(full, mode, rescue._RECLAIM, {"worker_id": "sweeper", "limit": rescue.BATCH, "before": None})
    assert set(used.values()) <= LEASE_INDEXES
    assert "leases_expires_at_idx" in used.values()


@MODES
async def test_a_release_reads_running_tasks_only(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    held = list(range(1000, ROWS // 2, 1000))
    parameters = {"worker_id": "worker", "queue": "default", "held": held, "claimed_before": NOW}
    used = await scans(full, mode, rescue._RELEASE, parameters)
    assert set(used.values()) <= LEASE_INDEXES
    assert used


@MODES
@pytest.mark.parametrize("step", [1000, 100_000], ids=["many", "few"])
async def test_an_outcome_and_an_extension_read_their_tasks_only(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, step: int
) -> None:
    task_ids = list(range(step, ROWS + 1, step))
    lease_ids = list(range(1, len(task_ids) + 1))
    used = await scans(full, mode, leases._EXTEND, {"worker_id": "worker", "lease_ids": lease_ids, "lease": LEASE})
    assert set(used.values()) == {"leases_pkey", "tasks_pkey"}
    count = len(task_ids)
    held = {"task_ids": task_ids, "versions": [2] * count, "lease_ids": lease_ids, "starts": [NOW] * count}
    used = await scans(full, mode, task_outcomes._HELD, {**held, "worker_id": "worker"})
    assert set(used.values()) <= {"tasks_pkey", "waiting_pkey", "leases_pkey"}
    assert used
    outcomes = {"worker_id": "worker", "lease_ids": encoding.array(lease_ids), **_outcomes(task_ids)}
    used = await scans(full, mode, task_outcomes._RECORD, outcomes)
    assert set(used.values()) == {"tasks_pkey", "leases_pkey"}


def _of_log(used: dict[str, str]) -> list[str]:
    """Returns how the log was read, by a page that did not read tasks."""
    assert not any(alias.startswith("tasks") for alias in used), used
    found = [index for alias, index in used.items() if alias.startswith("task_logs") and not alias.endswith("_seq")]
    assert found, used
    return found


@MODES
@pytest.mark.parametrize("task_ids", [None, [1, 2, 3]], ids=["all", "some"])
async def test_a_watch_reads_new_rows_only(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, task_ids: list[int] | None
) -> None:
    parameters = {"seen": full.info["snapshot"], "task_ids": task_ids, "only": None, "limit": 1000, "short": 10_000}
    used = await scans(full, mode, feed._READ_SHORT, parameters)
    assert all(index.endswith("_xid_idx") for index in _of_log(used)), used


@MODES
async def test_a_watch_that_is_behind_continues_where_its_page_ended(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    window = {"seen": "3:3:", "upto": full.info["snapshot"], "log_id": ROWS, "last_id": 2 * ROWS}
    used = await scans(full, mode, feed._READ_LONG, {**window, "task_ids": None, "only": None, "limit": 1000})
    assert all(index.endswith(("_log_id_idx", "_xid_idx")) for index in _of_log(used)), used


@MODES
async def test_a_history_is_read_by_its_task(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    used = await scans(full, mode, task_read._LIST_LOGS, {"task_id": 5, "after_version": 0, "limit": 50})
    assert used
    assert all(index.endswith("_pkey") for index in used.values()), used
