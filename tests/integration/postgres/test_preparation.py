"""Preparing the migration that puts pending tasks apart, while the first edition serves."""

import asyncio
import os
import re
import sys

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.log import feed, marks
from duetime_core.store.tasks import read
from duetime_server.watch import cursors
from tests.support import factories, feeds, first_edition, invariants, pages

Engine = sqlalchemy_asyncio.AsyncEngine


async def test_tasks_that_change_while_they_are_copied_have_their_copies(first: Engine) -> None:
    await first_edition.fill(first, 5_000)
    async with first_edition.served(first):
        assert await migrate.prepare(first) == "0018"
        for _ in range(20):
            await first_edition.execute(first, "create")
    before = await first_edition.rows(first)
    changed = await invariants.value(first, "SELECT count(*) FROM task_logs WHERE actor = 'first edition'")
    assert changed > 100
    await migrate.upgrade(first)
    assert await invariants.violations(first) == {}
    await first_edition.downgrade(first)
    assert await first_edition.differences(first, before) == []


async def test_watches_from_before_the_preparation_and_the_switch_resume_without_a_gap(first: Engine) -> None:
    await first_edition.fill(first, 1_000)
    scope = cursors.Cursors({})
    opened: list[tuple[str, set[tuple[int, int]]]] = []  # cursors, and what was logged before

    async def watch() -> None:
        async with database.transaction(first) as connection:
            await connection.execute(sa.text("LOCK TABLE task_logs IN SHARE MODE"))  # nothing is logged in between
            opened.append((scope.write(await feed.now(first)), await logged(first)))

    await marks.note(first)
    async with first_edition.served(first):
        await watch()
        await migrate.prepare(first)
        await watch()
        for _ in range(20):
            await first_edition.execute(first, "create")
    await watch()
    await migrate.upgrade(first)
    await factories.create(first)
    after = await logged(first)
    for cursor, before in opened:
        rows, _ = await feeds.read_all(first, scope.read(cursor))
        assert len(rows) == len(set(rows))
        assert set(rows) == after - before
    assert len(after - opened[0][1]) > 100


async def logged(engine: Engine) -> set[tuple[int, int]]:
    """Returns the tasks and versions in the log."""
    async with engine.connect() as connection:
        found = await connection.execute(sa.text("SELECT task_id, version FROM task_logs"))
        return {(row.task_id, row.version) for row in found}


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
    assert await invariants.violations(first) == {}
    await first_edition.downgrade(first)
    assert await first_edition.differences(first, before) == []


async def test_a_row_that_another_session_locks_is_copied_once_it_is_released(first: Engine) -> None:
    await first_edition.fill(first, 20)
    async with database.transaction(first) as other:
        await other.execute(sa.text("SELECT FROM tasks WHERE task_id = 7 FOR UPDATE"))
        preparing = asyncio.create_task(migrate.prepare(first))
        async with asyncio.timeout(30):
            while not await invariants.value(first, "SELECT to_regclass('ended_tasks') IS NOT NULL"):
                pass
            while not await invariants.value(first, "SELECT EXISTS (SELECT FROM ended_tasks)"):
                pass
        assert not preparing.done()
        assert await invariants.value(first, "SELECT upto FROM copying") == 0
    await preparing
    assert await invariants.value(first, "SELECT upto FROM copying") == 20


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
    assert await invariants.value(first, "SELECT version_num FROM alembic_version") == first_edition.REVISION
    assert await first_edition.execute(first, "create")


async def test_a_role_of_the_application_writes_while_tasks_are_copied(admin: Engine, first: Engine) -> None:
    name = f"application_{os.getpid()}"
    application = database.connect(
        first.url.set(drivername="postgresql", username=name).render_as_string(hide_password=False)
    )
    async with admin.connect() as connection:
        await connection.execute(sa.text(f"CREATE ROLE {name} LOGIN"))
    try:
        async with database.transaction(first) as connection:  # of the tables that are there alone
            for rows, kind in (("SELECT, INSERT, UPDATE, DELETE", "TABLES"), ("USAGE, SELECT", "SEQUENCES")):
                await connection.execute(sa.text(f"GRANT {rows} ON ALL {kind} IN SCHEMA public TO {name}"))
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


async def test_a_prepared_migration_is_undone_as_the_page_says(first: Engine) -> None:
    await first_edition.fill(first, 100)
    before = await first_edition.rows(first)
    await migrate.prepare(first)
    (statements,) = re.findall(r"```sql\n(.*?)```", (pages.ROOT / "docs/upgrading.md").read_text(), re.DOTALL)
    async with first.connect() as connection:
        await connection.exec_driver_sql(statements)
    assert await first_edition.differences(first, before) == []
    assert await first_edition.execute(first, "create")
    assert await migrate.prepare(first) == "0018"
    await migrate.upgrade(first)
    assert await invariants.violations(first) == {}
