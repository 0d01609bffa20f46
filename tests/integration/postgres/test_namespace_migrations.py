"""The migrations to namespaces: beside servers and workers of the version before, and back."""

import asyncio

import alembic.command
import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import namespace
from duetime_core.postgres import database, namespace_tables
from duetime_core.store.claiming import floors
from duetime_core.store.claiming.bounds import Bounds
from duetime_core.store.queues import read as queue_read
from duetime_core.store.tasks import page, read
from tests.support import factories, tenants

Engine = sqlalchemy_asyncio.AsyncEngine
BEFORE, NAMES = "0024", "0026"

_TASK = "'noop', 'mail', now(), '{}', '1 second', '1 hour', 2, 0.1"
_CREATE = f"""
WITH created AS (
    INSERT INTO tasks (name, queue, execution_time, task_data, retry_initial_backoff, retry_max_backoff,
        retry_multiplier, retry_jitter)
    VALUES ({_TASK}) RETURNING task_id, queue, name, execution_time
), waits AS (
    INSERT INTO waiting (task_id, queue, ready_at, version, level) SELECT task_id, queue, now(), 1, 0 FROM created
), named AS (
    INSERT INTO request_ids (request_id, task_id) SELECT 'r' || task_id, task_id FROM created ON CONFLICT DO NOTHING
)
INSERT INTO task_logs (task_id, version, status, change, execution_time, retry_count, actor, queue, name)
SELECT task_id, 1, 'pending', 'created', execution_time, 0, 'api', queue, name FROM created
"""
_OF_THE_VERSION_BEFORE = {
    "create": _CREATE,
    "claim": "WITH gone AS (DELETE FROM waiting WHERE task_id = (SELECT min(task_id) FROM waiting) RETURNING task_id) "
    "INSERT INTO leases (worker_id, queue, started_at, expires_at, task_ids, versions) "
    "SELECT 'w', 'mail', now(), now() + interval '1 hour', array_agg(task_id), ARRAY[1] FROM gone",
    "create another": _CREATE,
    "limit": "INSERT INTO queues (name) VALUES ('mail') ON CONFLICT (name) DO NOTHING",
    "log a limit": "INSERT INTO queue_logs (queue, change, changes, actor) VALUES ('mail', 'updated', '[]', 'api')",
    "note a key": "INSERT INTO queue_keys (queue, concurrency_key, tokens, tokens_at) VALUES ('mail', 'a', 0, now()) "
    "ON CONFLICT (queue, concurrency_key) DO UPDATE SET tokens = 1",
    "note where claims are": "INSERT INTO claim_floors (queue, times) VALUES ('mail', array_fill(now(), ARRAY[11])) "
    "ON CONFLICT (queue) DO UPDATE SET times = excluded.times",
    "note where next tasks are": "INSERT INTO next_floors (queue, ready_at) VALUES ('mail', now()) "
    "ON CONFLICT (queue) DO UPDATE SET ready_at = now()",
    "announce": "INSERT INTO handlers (name, announced_at) VALUES ('mine', now()) "
    "ON CONFLICT (name) DO UPDATE SET announced_at = now()",
    "send a heartbeat": "INSERT INTO workers (worker_id, queues, handlers, concurrency, running, rates, "
    "last_heartbeat_at) VALUES ('w', '{mail}', '{}', 8, 0, '{}', now()) "
    "ON CONFLICT (worker_id) DO UPDATE SET last_heartbeat_at = now()",
    "create a schedule": "INSERT INTO schedules (name, spec, template, overlap, catch_up, last_nominal_time, "
    "zone_version, request_id) VALUES ('hourly', '{}', '{}', 'skip', 'one', now(), '1', 'r') "
    "ON CONFLICT (request_id) WHERE request_id IS NOT NULL DO NOTHING",
    "log a schedule": "INSERT INTO schedule_logs (schedule_id, change, actor) VALUES (1, 'created', 'api')",
    "create a key": "INSERT INTO api_keys (key_id, digest, name, role, may_read_payloads, actor, created_by) "
    "VALUES (gen_random_uuid()::text, '', 'ci', 'admin', true, 'a', 'a')",
    "add an event": "INSERT INTO audit_events (kind) VALUES ('key_created')",
    "end": "INSERT INTO ended_tasks (task_id, status, name, queue, execution_time, task_data, retry_initial_backoff, "
    f"retry_max_backoff, retry_multiplier, retry_jitter, ended_at) SELECT count(*) + 9000, 'completed', {_TASK}, now() "
    "FROM ended_tasks",
}
"""What servers and workers of the version before write: without the column, and by the unique keys of before."""


async def write_all(engine: Engine) -> None:
    async with engine.connect() as connection:
        for statement in _OF_THE_VERSION_BEFORE.values():
            await connection.execute(sa.text(statement))


async def namespaces_of(engine: Engine, table: str) -> list[int]:
    async with engine.connect() as connection:
        return list((await connection.execute(sa.text(f"SELECT namespace_id FROM {table}"))).scalars())


async def test_the_version_before_writes_until_its_unique_keys_are_replaced(empty: Engine) -> None:
    await migrate.upgrade_to(empty, BEFORE)
    await write_all(empty)
    migrated = asyncio.Event()

    async def serve() -> int:
        rounds = 0
        while not migrated.is_set() or rounds < 3:
            await write_all(empty)
            rounds += 1
        return rounds

    serving = asyncio.create_task(serve())
    assert await migrate.prepare(empty) == NAMES
    migrated.set()
    assert await serving >= 3
    await write_all(empty)
    for table in namespace_tables.TENANT_TABLES:
        assert set(await namespaces_of(empty, table)) == {namespace.DEFAULT}, table
    await migrate.upgrade(empty)
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match="no unique or exclusion constraint"):
        await write_all(empty)


async def test_what_the_version_before_wrote_belongs_to_the_default_namespace(empty: Engine) -> None:
    await migrate.upgrade_to(empty, BEFORE)
    for _ in range(3):
        await write_all(empty)
    await migrate.upgrade(empty)
    listed = await read.list_tasks(empty, page.Filter(), order="task_id", after=None, limit=99)
    assert len(listed.tasks) == 9
    assert [each.name for each in await queue_read.list_queues(empty, after="", limit=9)] == ["mail"]
    since = Bounds()
    await floors.begin(empty, "mail", since)
    assert since.parameters["since"] != Bounds().parameters["since"]
    other = await tenants.create(empty)
    with namespace.use(other):
        assert (await read.list_tasks(empty, page.Filter(), order="task_id", after=None, limit=99)).tasks == []


async def test_the_migrations_can_be_reverted_while_there_is_one_namespace(empty: Engine) -> None:
    await migrate.upgrade(empty)
    task_id = await factories.create(empty, request_id="r")
    await tenants.create(empty)
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="there are several namespaces"):
        await _downgrade(empty)
    assert (await read.get(empty, task_id)).namespace_id == namespace.DEFAULT
    async with empty.connect() as connection:
        await connection.execute(sa.text("DELETE FROM namespaces WHERE name = 'other'"))
    await _downgrade(empty)
    await write_all(empty)
    await migrate.upgrade(empty)
    assert (await read.get(empty, task_id)).request_id == "r"
    async with empty.connect() as connection:
        await connection.run_sync(lambda sync: alembic.command.check(migrate.config(sync)))


async def _downgrade(engine: Engine) -> None:
    async with database.transaction(engine) as connection:
        await connection.run_sync(lambda sync: alembic.command.downgrade(migrate.config(sync), BEFORE))
