"""Migrations of a database that is in use: what they lock, how long others wait for them, and what they wait for."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import alembic.command
import alembic.operations
import alembic.runtime.migration
import alembic.script
import pytest
import sqlalchemy as sa
import sqlalchemy.exc
import structlog.testing
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import errors
from duetime_core.postgres import database, index_builds, table_locks
from tests.support import factories

_HELD = sa.text("""
SELECT DISTINCT class.relname FROM pg_locks AS lock JOIN pg_class AS class ON class.oid = lock.relation
WHERE lock.pid = pg_backend_pid() AND class.relkind IN ('r', 'p')
    AND lock.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
""")
_TABLES = sa.text("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace")
_READ = sa.text("SELECT FROM tasks WHERE task_id = 1")
_CREATE = sa.text(
    "INSERT INTO tasks (name, queue, status, execution_time, task_data, retry_initial_backoff, retry_max_backoff, "
    "retry_multiplier, retry_jitter) VALUES ('noop', 'q', 'pending', now(), '{}', '1 second', '1 hour', 2, 0.1)"
)
_PARTITIONS = ("task_logs_", "ended_tasks_")
_NOISE = 5
"""How many times as long as the lock timeout a call may take on a busy machine."""

BEFORE_THE_FIRST_RELEASE = 9
"""No database in use was ever at an earlier revision, so those migrations may build indexes as they did."""


async def test_a_migration_locks_the_tables_of_earlier_ones_only_where_it_declares_it(
    empty: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await migrate.upgrade_to(empty, f"{BEFORE_THE_FIRST_RELEASE:04}")
    scripts = alembic.script.ScriptDirectory.from_config(migrate.config())
    for script in list(scripts.iterate_revisions("head", f"{BEFORE_THE_FIRST_RELEASE:04}"))[::-1]:
        found = await _locked_by(empty, script)
        assert found == set(getattr(script.module, "locks", ())), (
            f"migration {script.revision} locks {found or 'nothing'}: declare `locks`, and build indexes in `prepare`"
        )


async def _locked_by(engine: sqlalchemy_asyncio.AsyncEngine, script: alembic.script.Script) -> set[str]:
    before: set[str] = set()
    held: set[str] = set()

    def began(connection: sa.Connection) -> None:
        before.update(connection.execute(_TABLES).scalars())

    def committing(connection: sa.Connection) -> None:
        held.update(connection.execute(_HELD).scalars())

    async with engine.connect() as connection:
        await connection.run_sync(began)
    sa.event.listen(engine.sync_engine, "commit", committing)
    try:
        await migrate.upgrade_to(engine, script.revision)
    finally:
        sa.event.remove(engine.sync_engine, "commit", committing)
    # A partition is locked with its table.
    return {table for table in held & before if not table.startswith(_PARTITIONS)} - {"alembic_version"}


async def test_calls_wait_no_longer_than_the_lock_timeout_for_a_migration_behind_an_open_reader(
    empty: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await migrate.upgrade_to(empty, "0009")
    with structlog.testing.capture_logs() as logged:
        async with database.transaction(empty) as reader:
            await reader.execute(sa.text("SELECT FROM tasks"))
            migrating = asyncio.create_task(migrate.upgrade_to(empty, "0011"))
            longest = await _longest_call(empty, lambda: len(_waits(logged)) >= 3)
            assert not migrating.done()
        await migrating
    assert longest < _NOISE * table_locks.TIMEOUT.total_seconds()
    first = _waits(logged)[0]
    assert (first["revision"], first["tables"]) == ("0011", "workers,queues,queue_keys,tasks")
    assert "pid " in first["held_by"]
    assert await _revision(empty) == "0011"


async def test_an_index_is_built_behind_a_backup_without_keeping_anybody_waiting(
    empty: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await migrate.upgrade_to(empty, "0009")
    with structlog.testing.capture_logs() as logged:
        async with empty.execution_options(isolation_level="REPEATABLE READ").begin() as backup:
            await backup.execute(sa.text("SELECT FROM tasks"))
            migrating = asyncio.create_task(migrate.upgrade_to(empty, "0010"))
            longest = await _longest_call(empty, lambda: _is_waiting_for_snapshots(empty))
            assert not migrating.done()
        await migrating
    assert longest < _NOISE * table_locks.TIMEOUT.total_seconds()
    assert await _revision(empty) == "0010"
    assert "building index" in [entry["event"] for entry in logged]


async def test_an_index_whose_build_was_interrupted_is_built_again(empty: sqlalchemy_asyncio.AsyncEngine) -> None:
    await migrate.upgrade_to(empty, "0009")
    async with empty.execution_options(isolation_level="REPEATABLE READ").begin() as backup:
        await backup.execute(sa.text("SELECT FROM tasks"))
        migrating = asyncio.create_task(migrate.upgrade_to(empty, "0010"))
        await _longest_call(empty, lambda: _is_waiting_for_snapshots(empty))
        async with empty.connect() as connection:
            await connection.execute(sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index"))
        with pytest.raises(errors.StoreUnavailable):
            await migrating
    assert await _invalid_indexes(empty) == ["tasks_schedule_idx"]
    await migrate.upgrade(empty)
    assert await _invalid_indexes(empty) == []
    async with empty.connect() as connection:
        await connection.run_sync(lambda sync: alembic.command.check(migrate.config(sync)))


async def test_several_hosts_migrate_while_one_builds_indexes_behind_a_backup(
    empty: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await migrate.upgrade_to(empty, "0009")
    with structlog.testing.capture_logs() as logged:
        async with empty.execution_options(isolation_level="REPEATABLE READ").begin() as backup:
            await backup.execute(sa.text("SELECT FROM tasks"))
            migrating = asyncio.gather(*(migrate.upgrade(empty) for _ in range(3)))
            await _longest_call(empty, lambda: _is_waiting_for_snapshots(empty))
        await migrating
    waiting = [entry for entry in logged if entry["event"] == "waiting for the migrations of another process"]
    assert len(waiting) == 2


async def test_an_index_of_the_partitioned_log_is_built_and_attached_without_keeping_writers_waiting(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    task_id = await factories.create(engine)
    async with database.transaction(engine) as writer:
        await writer.execute(sa.text("UPDATE task_logs SET actor = 'api' WHERE task_id = :id"), {"id": task_id})
        with pytest.raises(sqlalchemy.exc.OperationalError, match="lock timeout"):
            await _build(engine, "task_logs_actor_idx")
        assert await factories.history(engine, await factories.create(engine)) == ["created"]
    for _ in range(2):  # repeating it changes nothing
        await _build(engine, "task_logs_actor_idx")
    assert await _invalid_indexes(engine) == []
    async with engine.connect() as connection:
        await connection.execute(sa.text("DROP INDEX task_logs_actor_idx"))  # and with it those of all partitions
        await connection.run_sync(lambda sync: alembic.command.check(migrate.config(sync)))


async def _build(engine: sqlalchemy_asyncio.AsyncEngine, name: str) -> None:
    def build(connection: sa.Connection) -> None:
        context = alembic.runtime.migration.MigrationContext.configure(connection)
        with alembic.operations.Operations.context(context):
            index_builds.build(name, "task_logs", "(actor, log_id)")

    async with engine.connect() as connection:
        await connection.run_sync(build)


def _waits(logged: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for entry in logged if entry["event"].startswith("migration waits for the lock of a table")]


async def _longest_call(engine: sqlalchemy_asyncio.AsyncEngine, is_over: Callable[[], bool | Awaitable[bool]]) -> float:
    """Reads by primary key and creates until `is_over`; returns how long the slowest took."""
    longest = 0.0
    async with engine.connect() as connection, asyncio.timeout(60):
        while True:
            over = is_over()
            if over if isinstance(over, bool) else await over:
                return longest
            for statement in (_READ, _CREATE):
                began = time.monotonic()
                await connection.execute(statement)
                longest = max(longest, time.monotonic() - began)


async def _is_waiting_for_snapshots(engine: sqlalchemy_asyncio.AsyncEngine) -> bool:
    async with engine.connect() as connection:
        phases = await connection.execute(sa.text("SELECT phase FROM pg_stat_progress_create_index"))
        return "waiting for old snapshots" in phases.scalars().all()


async def _revision(engine: sqlalchemy_asyncio.AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str((await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar_one())


async def _invalid_indexes(engine: sqlalchemy_asyncio.AsyncEngine) -> Sequence[str]:
    query = "SELECT CAST(CAST(indexrelid AS regclass) AS text) FROM pg_index WHERE NOT indisvalid"
    async with engine.connect() as connection:
        return (await connection.execute(sa.text(query))).scalars().all()
