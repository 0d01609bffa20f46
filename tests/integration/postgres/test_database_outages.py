"""Tasks survive a database that is unavailable for a while."""

import asyncio
import contextlib
import datetime
import pathlib
import signal
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from duetime_client import NewTask, Status
from tests.support import clients, primaries, processes, rows

LEASE_SECONDS = 4
LATER = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


@contextlib.asynccontextmanager
async def outage(
    admin: sqlalchemy_asyncio.AsyncEngine, database_url: str
) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """Disconnects all clients from the test's database during the block; yields a connection to another database."""
    name = sa.make_url(database_url).database
    async with admin.connect() as connection:
        await connection.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        await connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        yield connection
        await connection.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))


async def test_an_outage_longer_than_a_lease_takes_no_task_from_a_live_worker(
    client: duetime_client.AsyncClient,
    start: processes.Starter,
    admin: sqlalchemy_asyncio.AsyncEngine,
    database_url: str,
    tmp_path: pathlib.Path,
) -> None:
    workers = [await start.worker(lease=f"PT{LEASE_SECONDS}S", concurrency=20) for _ in range(2)]
    task_ids = await client.create_many(
        NewTask("sleep", clients.NOW, {"seconds": 25}, max_retries=0) for _ in range(40)
    )
    for task_id in task_ids:
        await clients.reached(client, task_id, "started")
    async with outage(admin, database_url) as connection:
        await asyncio.gather(*(worker.wait_for_log("the database is unavailable") for worker in workers))
        await connection.execute(sa.text(f"SELECT pg_sleep({LEASE_SECONDS + 1})"))
        # One worker resumes later than the other and than a worker that starts now; both of these sweep meanwhile.
        workers[0].process.send_signal(signal.SIGSTOP)
        late = await start.worker(lease=f"PT{LEASE_SECONDS}S")
        # Without having noticed the outage, it would reclaim after a third of a lease.
        await late.wait_for_log("the database is unavailable")
    await workers[1].wait_for_log("the database recovered")
    async with admin.connect() as connection:
        await connection.execute(sa.text(f"SELECT pg_sleep({LEASE_SECONDS / 2})"))
    workers[0].process.send_signal(signal.SIGCONT)
    assert len(clients.handler_events(tmp_path, *task_ids)) == len(task_ids)  # all began, and none has ended
    for task_id in task_ids:
        done = await clients.finished(client, task_id, seconds=60)
        assert (done.status, done.retry_count) == (Status.COMPLETED, 0)
        assert await clients.changes(client, task_id) == ["created", "started", "completed"]


async def test_a_primary_that_answers_reads_but_cannot_commit_takes_no_task_from_a_live_worker(
    start: processes.Starter, primary: primaries.Primary
) -> None:
    server = await start.server(database_url=primary.url)
    workers = [await start.worker(database_url=primary.url, lease="PT4S", concurrency=20) for _ in range(3)]
    async with duetime_client.AsyncClient(server.address) as client:
        task_ids = await client.create_many(
            NewTask("sleep", clients.NOW, {"seconds": 20}, max_retries=0) for _ in range(30)
        )
        for task_id in task_ids:
            await clients.reached(client, task_id, "started")
        async with primary.without_standby():
            # All leases have been over for two sweeps.
            await primary.until(f"SELECT max(lease_expires_at) < now() - interval '3 s' FROM {rows.ALL} AS tasks")
        for task_id in task_ids:
            done = await clients.finished(client, task_id, seconds=60)
            assert (done.status, done.retry_count) == (Status.COMPLETED, 0)
            assert await clients.changes(client, task_id) == ["created", "started", "completed"]
    assert not any("reclaimed" in line for worker in workers for line in worker.log)


async def test_a_call_that_is_repeated_without_a_standby_is_not_answered_from_what_the_primary_alone_has(
    start: processes.Starter, primary: primaries.Primary
) -> None:
    server = await start.server(database_url=primary.url)
    async with (
        duetime_client.AsyncClient(server.address, timeout=datetime.timedelta(seconds=1)) as impatient,
        duetime_client.AsyncClient(server.address) as patient,
    ):
        task_id = await patient.create("noop", LATER)
        async with primary.without_standby():
            with pytest.raises(duetime_client.errors.DeadlineExceeded):  # it hangs up
                await impatient.cancel(task_id)
            with pytest.raises((duetime_client.errors.Unavailable, duetime_client.errors.DeadlineExceeded)):
                await patient.cancel(task_id)
            assert (await patient.get(task_id)).status is Status.PENDING
        assert (await patient.cancel(task_id)).status is Status.CANCELLED
        assert await clients.changes(patient, task_id) == ["created", "cancelled"]


async def test_a_task_whose_worker_is_killed_in_an_outage_runs_again_after_it(
    client: duetime_client.AsyncClient,
    start: processes.Starter,
    admin: sqlalchemy_asyncio.AsyncEngine,
    database_url: str,
    tmp_path: pathlib.Path,
) -> None:
    workers = [await start.worker(lease=f"PT{LEASE_SECONDS}S") for _ in range(2)]
    task_id = await client.create("sleep", clients.NOW, {"seconds": 5})
    started = await clients.reached(client, task_id, "started")
    doomed, survivor = sorted(workers, key=lambda worker: f"-{worker.pid}-" not in started.actor)
    async with outage(admin, database_url):
        await survivor.wait_for_log("the database is unavailable")
        await doomed.kill()
    done = await clients.finished(client, task_id)
    assert (done.status, done.retry_count) == (Status.COMPLETED, 1)
    assert [each.pid for each in clients.handler_events(tmp_path, task_id)] == [doomed.pid, survivor.pid, survivor.pid]


async def test_a_worker_stops_although_its_database_is_unavailable(
    client: duetime_client.AsyncClient,
    start: processes.Starter,
    admin: sqlalchemy_asyncio.AsyncEngine,
    database_url: str,
) -> None:
    worker = await start.worker(grace_period="PT0.1S", lease=f"PT{LEASE_SECONDS}S")
    task_id = await client.create("sleep", clients.NOW, {"seconds": 3600})
    await clients.reached(client, task_id, "started")
    async with outage(admin, database_url):
        await worker.wait_for_log("the database is unavailable")
        worker.terminate()
        assert await worker.ended() == 0
        assert any("could not record outcomes" in line for line in worker.log)
    await start.worker()
    log = await clients.reached(client, task_id, "lease_lost")
    assert log.status is Status.PENDING
