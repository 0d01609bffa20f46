"""A dump taken while workers run, restored into another cluster as docs/backup.md describes."""

import asyncio
import contextlib
import dataclasses
import datetime
import itertools
import pathlib
import random
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core import migrate
from duetime_core.model import errors, task
from duetime_core.postgres import database
from duetime_core.process import background, outage
from duetime_core.store.log import feed, restoration
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_server.watch import hub, streams, subscription
from duetime_stack import pgdata
from tests.support import factories, postgres, processes, rows

Engine = sqlalchemy_asyncio.AsyncEngine
LEASE = datetime.timedelta(seconds=1)
CHANGES = (task.Change.COMPLETED, task.Change.FAILED, task.Change.RETRY_SCHEDULED, task.Change.RELEASED)


async def run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        pgdata.program_path(program), *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def work(engine: Engine, name: str) -> None:
    """Creates, claims, finishes and cancels tasks until it is cancelled; abandons some of those it claims."""
    backoff = datetime.timedelta(milliseconds=10)
    while True:
        ids = [await factories.create(engine, max_retries=10) for _ in range(5)]
        claimed = await factories.claim(engine, worker_id=name, limit=6, lease=LEASE)
        outcomes = [
            factories.outcome(each, change, **({"backoff": backoff} if change is task.Change.RETRY_SCHEDULED else {}))
            for each, change in zip(claimed[1:], itertools.cycle(CHANGES), strict=False)
        ]
        await task_outcomes.record(engine, outcomes, worker_id=name)
        with contextlib.suppress(errors.TaskFinished):
            await task_edit.cancel(engine, random.choice(ids), actor="api")


async def spend_transactions(engine: Engine, *, count: int) -> None:
    """Makes the cluster assign as many transaction ids."""
    spend = f"DO $$ BEGIN FOR i IN 1..{count} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
    async with engine.connect() as connection:
        await connection.execute(sa.text(spend))


@dataclasses.dataclass(frozen=True)
class Restored:
    """A restored database, and the cursor of a watch of the dumped one."""

    url: str
    engine: Engine
    cursor: str


def watch_all(engine: Engine, cursor: str = "") -> streams.Events:
    feeder = hub.Hub(engine, outage.Outage("the database", "watches wait"))
    return streams.watch_tasks(engine, feeder, task_service_pb2.WatchTasksRequest(cursor=cursor))


@pytest.fixture(scope="module")
def other_cluster(short_directory: pathlib.Path) -> Iterator[str]:
    """A PostgreSQL that has assigned few transaction ids: the URL of its database `postgres`."""
    server = postgres.Postgres(short_directory / "restored")
    yield server.url
    server.kill()


@pytest_asyncio.fixture
async def restored(
    engine: Engine, database_url: str, other_cluster: str, tmp_path: pathlib.Path
) -> AsyncIterator[Restored]:
    """A dump of this test's database, taken while six workers run, restored into the other cluster and migrated."""
    empty = database.connect(other_cluster)
    ahead = await newest_transaction(engine) - await newest_transaction(empty)
    await empty.dispose()
    await spend_transactions(engine, count=max(0, 10_000 - ahead))
    working = background.start(*(work(engine, f"worker-{number}") for number in range(6)))
    while await rows.count(engine, "status = 'completed'") < 100:
        pass
    await run("pg_dump", "-Fc", "-f", str(tmp_path / "duetime.dump"), database_url)
    assert not any(service.done() for service in working)
    await background.end(working)
    cursor = (await anext(watch_all(engine))).cursor

    name = f"restored_{uuid.uuid4().hex}"
    await run("createdb", f"--maintenance-db={other_cluster}", name)
    url = sa.make_url(other_cluster).set(database=name).render_as_string(hide_password=False)
    await run("pg_restore", "--exit-on-error", "--no-owner", "-d", url, str(tmp_path / "duetime.dump"))
    other = database.connect(url)
    await migrate.upgrade(other)
    yield Restored(url, other, cursor)
    await other.dispose()


async def newest_transaction(engine: Engine) -> int:
    return await count(engine, "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)")


async def count(engine: Engine, query: str) -> int:
    async with engine.connect() as connection:
        found: int = (await connection.execute(sa.text(query))).scalar_one()
        return found


async def test_a_dump_of_a_busy_database_is_consistent_and_a_worker_completes_it(
    restored: Restored, redis_url: str, tmp_path: pathlib.Path
) -> None:
    engine = restored.engine
    gaps = f"""
        SELECT count(*) FROM (
            SELECT task_id, array_agg(version ORDER BY version) AS versions FROM task_logs GROUP BY task_id
        ) AS logged FULL JOIN {rows.ALL} AS tasks USING (task_id)
        WHERE versions IS DISTINCT FROM ARRAY(SELECT generate_series(1, version))
            -- The start of a run may be written with its end.
            AND NOT (status = 'running' AND versions = ARRAY(SELECT generate_series(1, version - 1)))
    """
    differences = f"""
        SELECT count(*) FROM {rows.ALL} AS tasks JOIN task_logs USING (task_id, version)
        WHERE tasks.status <> task_logs.status
    """
    assert await count(engine, gaps) == 0
    assert await count(engine, differences) == 0
    for status in task.Status:
        assert await rows.count(engine, "status = :status", status=status), f"none is {status}"

    feeder = hub.Hub(engine, outage.Outage("the database", "watches wait"))
    services = background.start(feeder.run())
    starter = processes.Starter(tmp_path, database_url=restored.url, redis_url=redis_url)
    async with feeder.subscribed(watching_all := subscription.Watch()), asyncio.timeout(60):
        changes = watching_all.changes()
        await starter.worker()
        while await rows.count(engine, "status IN ('pending', 'running')"):
            await anext(changes)
    await starter.kill_all()
    await background.end(services)
    assert await count(engine, gaps) == 0
    assert await count(engine, differences) == 0


async def test_a_restored_log_is_not_in_the_feed_again(restored: Restored) -> None:
    engine = restored.engine
    assert await count(engine, "SELECT count(*) FROM task_logs WHERE xid = '3'"), "no transaction id was in the future"
    position = await feed.now(engine)
    await spend_transactions(engine, count=30_000)
    task_id = await factories.create(engine)
    page = await feed.read(engine, position, namespace_id=None, limit=10)
    assert [entry.log.task_id for entry in page.entries] == [task_id]
    assert page.is_last


async def test_a_cursor_of_the_dumped_database_is_always_refused(restored: Restored) -> None:
    for spent in (0, 30_000):
        await spend_transactions(restored.engine, count=spent)
        with pytest.raises(errors.InvalidArgument, match="must come from a watch of this database"):
            await anext(watch_all(restored.engine, restored.cursor))


async def test_resetting_transaction_ids_leaves_the_log_of_the_same_cluster_unchanged(engine: Engine) -> None:
    position = await feed.now(engine)
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SELECT pg_current_xact_id()"))  # older than the next task
        task_id = await factories.create(engine)
        await restoration.reset_transaction_ids(connection)
    page = await feed.read(engine, position, namespace_id=None, limit=10)
    assert [entry.log.task_id for entry in page.entries] == [task_id]
