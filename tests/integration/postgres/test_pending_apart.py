"""The migration that puts pending tasks apart from finished ones: what comes of the data of the first edition."""

import asyncio
import datetime

import pytest
import sqlalchemy as sa
import sqlalchemy.exc
import structlog.testing
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import errors, task
from duetime_core.postgres import database, table_locks
from duetime_core.store.claiming import rescue
from duetime_core.store.tasks import history, read
from tests.support import factories, first_edition, invariants

Engine = sqlalchemy_asyncio.AsyncEngine
_NOISE = 5
_PARTITIONS = "SELECT count(*) FROM pg_inherits WHERE inhparent = CAST('ended_tasks' AS regclass)"


async def test_tasks_of_every_kind_are_the_same_after_the_migration_and_its_reversal(first: Engine) -> None:
    await first_edition.fill(first, 2_000)
    before = await first_edition.rows(first)
    await migrate.upgrade(first)
    assert await invariants.violations(first) == {}
    await first_edition.downgrade(first)
    assert await first_edition.differences(first, before) == []
    await migrate.upgrade(first)
    assert await invariants.violations(first) == {}


async def test_the_store_reads_each_task_as_the_first_edition_did(first: Engine) -> None:
    await first_edition.fill(first, 200)
    before = await first_edition.rows(first)
    await migrate.upgrade(first)
    for given in before:
        if given["deleted_at"] is not None:
            with pytest.raises(errors.TaskNotFound):
                await read.get(first, given["task_id"])
            continue
        found = await read.get(first, given["task_id"])
        if given["status"] == task.Status.CANCELLED:
            given["is_next"] = False  # a refused occurrence is known by its nominal time
        for name in given:
            if name not in {"request_digest", "is_refused", "task_data", "result"} and not name.startswith("retry_"):
                assert getattr(found, name) == given[name], name


async def test_the_switch_waits_for_an_open_reader_and_lets_others_go_first(first: Engine) -> None:
    await first_edition.fill(first, 100)
    await migrate.prepare(first)
    longest = 0.0
    with structlog.testing.capture_logs() as logged:
        async with database.transaction(first) as reader:
            await reader.execute(sa.text("SELECT FROM tasks"))
            switching = asyncio.create_task(migrate.upgrade(first))
            async with asyncio.timeout(60):
                while len([each for each in logged if each["event"].startswith("migration waits")]) < 2:
                    began = asyncio.get_running_loop().time()
                    await first_edition.execute(first, "create")
                    longest = max(longest, asyncio.get_running_loop().time() - began)
            assert not switching.done()
        await switching
    assert longest < _NOISE * table_locks.TIMEOUT.total_seconds()
    assert await invariants.violations(first) == {}


@pytest.mark.parametrize("name", first_edition.STATEMENTS)
async def test_an_overlooked_process_of_the_first_edition_gets_an_error_and_changes_nothing(
    first: Engine, name: str
) -> None:
    await first_edition.fill(first, 50)
    await migrate.upgrade(first)
    tables = ("tasks", "waiting", "leases", "ended_tasks", "request_ids", "nominal_times", "task_logs")
    state = (
        "SELECT ARRAY["
        + ", ".join(f"(SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} AS t)" for table in tables)
        + "]"
    )
    before = await invariants.value(first, state)
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match=r"column .* does not exist"):
        await first_edition.execute(first, name, ids=list(range(1, 51)), worker_id="worker 1")
    assert await invariants.value(first, state) == before


async def test_a_run_of_the_first_edition_is_reclaimed_with_one_start_in_its_history(first: Engine) -> None:
    (task_id, *_) = await first_edition.execute(first, "create")
    await first_edition.execute(first, "claim", worker_id="worker-1")
    async with first.connect() as connection:
        await connection.execute(sa.text("UPDATE tasks SET lease_expires_at = now() WHERE status = 'running'"))
    await migrate.upgrade(first)
    assert (await read.get(first, task_id)).worker_id == "worker-1"
    await rescue.reclaim(first, worker_id="worker")
    assert await factories.history(first, task_id) == ["created", "started", "lease_lost"]
    assert await invariants.violations(first) == {}


async def test_finished_tasks_of_the_past_are_dropped_by_partitions(first: Engine) -> None:
    await first_edition.fill(first, 500)
    await migrate.upgrade(first, task_retention=datetime.timedelta(days=30))
    assert await invariants.value(first, "SELECT count(*) FROM ended_tasks_default") == 0
    keep = datetime.timedelta(days=7)
    newest = f"now() - interval '{keep.days + 2} days'"
    old = await invariants.value(first, f"SELECT count(*) FROM ended_tasks WHERE ended_at < {newest}")
    partitions = await invariants.value(first, _PARTITIONS)
    dropped = 0
    while counts := [count async for count in history.drop_oldest(first, keep)]:
        dropped += sum(counts)
    assert dropped >= old > 0
    assert await invariants.value(first, _PARTITIONS) < partitions - 10
    assert await invariants.value(first, f"SELECT count(*) FROM ended_tasks WHERE ended_at < {newest}") == 0
    assert await invariants.violations(first) == {}
