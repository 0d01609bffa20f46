"""The migration that puts pending tasks apart from finished ones, on databases of the first edition in use."""

import asyncio
import contextlib
import datetime
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import alembic.command
import pytest
import sqlalchemy as sa
import sqlalchemy.exc
import structlog.testing
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import errors, task
from duetime_core.postgres import database, roles, table_locks
from duetime_core.store.claiming import rescue
from duetime_core.store.tasks import history, read
from tests.support import factories, first_edition

Engine = sqlalchemy_asyncio.AsyncEngine
_NOISE = 5

_VIOLATIONS = {
    "a waiting row without its task": """
        SELECT count(*) FROM waiting LEFT JOIN tasks USING (task_id)
        WHERE tasks.version IS DISTINCT FROM waiting.version""",
    "a task that neither waits nor runs, or both": """
        SELECT count(*) FROM tasks LEFT JOIN waiting USING (task_id) CROSS JOIN LATERAL (
            SELECT count(*) AS held FROM leases CROSS JOIN LATERAL unnest(task_ids, versions) AS of (task_id, version)
            WHERE of.task_id = tasks.task_id AND of.version = tasks.version
        ) AS leased
        WHERE held + CASE WHEN waiting.task_id IS NULL THEN 0 ELSE 1 END <> 1""",
    "a task that has and has not ended": "SELECT count(*) FROM tasks JOIN ended_tasks USING (task_id)",
    "a request id without its row": """
        SELECT count(*) FROM (
            SELECT task_id, request_id FROM tasks UNION ALL SELECT task_id, request_id FROM ended_tasks
        ) AS given FULL JOIN request_ids USING (request_id, task_id)
        WHERE request_id IS NOT NULL AND (given.task_id IS NULL OR request_ids.task_id IS NULL)""",
}

_PARTITIONS = "SELECT count(*) FROM pg_inherits WHERE inhparent = CAST('ended_tasks' AS regclass)"


async def value(engine: Engine, query: str) -> Any:
    async with engine.connect() as connection:
        return (await connection.execute(sa.text(query))).scalar()


async def violations(engine: Engine) -> dict[str, int]:
    found = {name: await value(engine, query) for name, query in _VIOLATIONS.items()}
    return {name: count for name, count in found.items() if count}


async def differences(engine: Engine, before: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Returns what is not as before: a task's id, the column, and its values before and now; or all ids."""
    after = await first_edition.rows(engine)
    if [row["task_id"] for row in before] != [row["task_id"] for row in after]:
        return [[row["task_id"] for row in rows] for rows in (before, after)]
    return [
        (row["task_id"], name, row[name], now[name])
        for row, now in zip(before, after, strict=True)
        for name in row
        if row[name] != now[name]
    ]


async def downgrade(engine: Engine) -> None:
    async with database.transaction(engine) as connection:
        await connection.run_sync(lambda sync: alembic.command.downgrade(migrate.config(sync), first_edition.REVISION))


@pytest.fixture
async def first(empty: Engine) -> Engine:
    """A database of the first edition without tasks."""
    await migrate.upgrade_to(empty, first_edition.REVISION)
    return empty


@contextlib.asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[None]:
    """Lets servers and workers of the first edition run during the block."""
    async with asyncio.TaskGroup() as group:
        ended = asyncio.Event()
        for each in range(3):
            group.create_task(first_edition.serve(engine, f"worker-{each}", seed=each, until=ended))
        try:
            yield
        finally:
            ended.set()


async def test_tasks_of_every_kind_are_the_same_after_the_migration_and_its_reversal(first: Engine) -> None:
    await first_edition.fill(first, 2_000)
    before = await first_edition.rows(first)
    await migrate.upgrade(first)
    assert await violations(first) == {}
    await downgrade(first)
    assert await differences(first, before) == []
    await migrate.upgrade(first)
    assert await violations(first) == {}


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


async def test_tasks_that_change_while_they_are_copied_have_their_copies(first: Engine) -> None:
    await first_edition.fill(first, 5_000)
    async with served(first):
        assert await migrate.prepare(first) == "0018"
        for _ in range(20):
            await first_edition.execute(first, "create")
    before = await first_edition.rows(first)
    changed = await value(first, "SELECT count(*) FROM task_logs WHERE actor = 'first edition'")
    assert changed > 100
    await migrate.upgrade(first)
    assert await violations(first) == {}
    await downgrade(first)
    assert await differences(first, before) == []


async def test_a_preparation_that_is_killed_continues_where_it_was(first: Engine) -> None:
    await first_edition.fill(first, 10_000)
    before = await first_edition.rows(first)
    url = first.url.set(drivername="postgresql").render_as_string(hide_password=False)
    reached = [0]
    for _ in range(3):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "duetime_core.migrate", "--prepare"),
            env=os.environ | {"DUETIME_DATABASE_URL": url, "PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        async with asyncio.timeout(60):
            async for line in process.stdout:
                if found := re.search(rb'event="tasks copied" upto=(\d+)', line):
                    assert int(found[1]) > reached[-1]
                    reached.append(int(found[1]))
                    break
        process.kill()
        await process.wait()
    assert reached[-1] < len(before), "it was not killed in between"
    await migrate.upgrade(first)
    assert await violations(first) == {}
    await downgrade(first)
    assert await differences(first, before) == []


async def test_a_row_that_another_session_locks_is_copied_once_it_is_released(first: Engine) -> None:
    await first_edition.fill(first, 20)
    async with database.transaction(first) as other:
        await other.execute(sa.text("SELECT FROM tasks WHERE task_id = 7 FOR UPDATE"))
        preparing = asyncio.create_task(migrate.prepare(first))
        async with asyncio.timeout(30):
            while not await value(first, "SELECT to_regclass('ended_tasks') IS NOT NULL"):
                pass
            while not await value(first, "SELECT EXISTS (SELECT FROM ended_tasks)"):
                pass
        assert not preparing.done()
        assert await value(first, "SELECT upto FROM copying") == 0
    await preparing
    assert await value(first, "SELECT upto FROM copying") == 20


async def test_a_copy_that_differs_keeps_the_first_edition(first: Engine) -> None:
    await first_edition.fill(first, 50)
    await migrate.prepare(first)
    for statement in (
        "UPDATE copying SET is_compared = false",
        "DELETE FROM waiting WHERE task_id = (SELECT min(task_id) FROM waiting)",
    ):
        async with first.connect() as connection:
            await connection.execute(sa.text(statement))
    with pytest.raises(RuntimeError, match=r"^1 tasks differ from their copies: nothing was changed"):
        await migrate.upgrade(first)
    assert await value(first, "SELECT version_num FROM alembic_version") == first_edition.REVISION
    assert await first_edition.execute(first, "create")


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
    assert await violations(first) == {}


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
    before = await value(first, state)
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match=r"column .* does not exist"):
        await first_edition.execute(first, name, ids=list(range(1, 51)), worker_id="worker 1")
    assert await value(first, state) == before


async def test_a_run_of_the_first_edition_is_reclaimed_with_one_start_in_its_history(first: Engine) -> None:
    (task_id, *_) = await first_edition.execute(first, "create")
    await first_edition.execute(first, "claim", worker_id="worker-1")
    async with first.connect() as connection:
        await connection.execute(sa.text("UPDATE tasks SET lease_expires_at = now() WHERE status = 'running'"))
    await migrate.upgrade(first)
    assert (await read.get(first, task_id)).worker_id == "worker-1"
    await rescue.reclaim(first, worker_id="worker")
    assert await factories.history(first, task_id) == ["created", "started", "lease_lost"]
    assert await violations(first) == {}


async def test_finished_tasks_of_the_past_are_dropped_by_partitions(first: Engine) -> None:
    await first_edition.fill(first, 500)
    await migrate.upgrade(first, task_retention=datetime.timedelta(days=30))
    assert await value(first, "SELECT count(*) FROM ended_tasks_default") == 0
    keep = datetime.timedelta(days=7)
    newest = f"now() - interval '{keep.days + 2} days'"
    old = await value(first, f"SELECT count(*) FROM ended_tasks WHERE ended_at < {newest}")
    partitions = await value(first, _PARTITIONS)
    dropped = 0
    while counts := [count async for count in history.drop_oldest(first, keep)]:
        dropped += sum(counts)
    assert dropped >= old > 0
    assert await value(first, _PARTITIONS) < partitions - 10
    assert await value(first, f"SELECT count(*) FROM ended_tasks WHERE ended_at < {newest}") == 0
    assert await violations(first) == {}


async def test_a_role_of_the_application_writes_while_tasks_are_copied(admin: Engine, first: Engine) -> None:
    name = f"application_{os.getpid()}"
    application = database.connect(
        first.url.set(drivername="postgresql", username=name).render_as_string(hide_password=False)
    )
    async with admin.connect() as connection:
        await connection.execute(sa.text(f"CREATE ROLE {name} LOGIN"))
    try:
        async with database.transaction(first) as connection:
            await roles.grant(connection, name)
        await migrate.prepare(first)
        created = await first_edition.execute(application, "create")
        await migrate.upgrade(first, application_role=name)
        assert (await read.get(application, created[0])).status == task.Status.PENDING
        assert {claimed.task_id for claimed in await factories.claim(application)} == set(created)
    finally:
        await application.dispose()
        async with first.connect() as connection:
            await connection.execute(sa.text(f"DROP OWNED BY {name}"))
        async with admin.connect() as connection:
            await connection.execute(sa.text(f"DROP ROLE {name}"))
