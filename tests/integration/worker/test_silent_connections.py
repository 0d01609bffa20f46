"""Connections that fall silent: what is sent on them is dropped, and nothing closes them. New ones work."""

import asyncio
import datetime

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from duetime_client import NewTask, Status
from duetime_core.model import errors
from duetime_core.postgres import connection, database
from duetime_core.store.tasks import read as task_read
from tests.support import clients, factories, processes, proxies

pytestmark = pytest.mark.timeout(120)

LEASE_SECONDS = 6


async def test_a_worker_whose_connections_fall_silent_keeps_all_its_leases(
    client: duetime_client.AsyncClient, start: processes.Starter, proxy: proxies.Proxy
) -> None:
    lease = f"PT{LEASE_SECONDS}S"
    behind = await start.worker(database_url=proxy.url, lease=lease)
    task_ids = await client.create_many(
        NewTask("sleep", clients.NOW, {"seconds": 3 * LEASE_SECONDS}, max_retries=0) for _ in range(20)
    )
    started = [await clients.reached(client, task_id, "started") for task_id in task_ids]
    others = [await start.worker(lease=lease) for _ in range(2)]
    proxy.silence()
    for task_id in task_ids:
        done = await clients.finished(client, task_id, seconds=60)
        assert (done.status, done.retry_count) == (Status.COMPLETED, 0)
        assert await clients.changes(client, task_id) == ["created", "started", "completed"]
    assert {each.actor for each in started if f"-{behind.pid}-" not in each.actor} == set()
    assert not any("reclaimed" in line for other in others for line in other.log)


async def test_a_worker_whose_connections_fall_silent_stops_without_losing_an_outcome(
    client: duetime_client.AsyncClient, start: processes.Starter, proxy: proxies.Proxy
) -> None:
    behind = await start.worker(database_url=proxy.url, lease=f"PT{LEASE_SECONDS}S", grace_period="PT20S")
    task_id = await client.create("sleep", clients.NOW, {"seconds": 1}, max_retries=0)
    await clients.reached(client, task_id, "started")
    proxy.silence()
    behind.terminate()
    assert await behind.ended() == 0
    assert await clients.changes(client, task_id) == ["created", "started", "completed"]


async def test_a_call_that_its_deadline_ends_on_a_silent_connection_drops_the_others_too(
    engine: sqlalchemy_asyncio.AsyncEngine, proxy: proxies.Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENT_SECONDS", 0.05)
    task_id = await factories.create(engine)
    through = database.connect(proxy.url)
    await asyncio.gather(*(task_read.get(through, task_id) for _ in range(10)))
    proxy.silence()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await task_read.get(through, task_id)
    answers = await asyncio.gather(*(task_read.get(through, task_id) for _ in range(10)))
    assert {answer.task_id for answer in answers} == {task_id}
    await through.dispose()


async def test_a_process_may_have_a_deadline_of_its_own_for_answers(proxy: proxies.Proxy) -> None:
    impatient = database.connect(proxy.url, answer_seconds=2)
    with pytest.raises(errors.TaskNotFound):
        await task_read.get(impatient, 1)
    proxy.silence()
    started = datetime.datetime.now(datetime.UTC)
    with pytest.raises(errors.StoreUnavailable, match="did not answer in time"):
        await task_read.get(impatient, 1)
    assert datetime.datetime.now(datetime.UTC) - started < datetime.timedelta(seconds=connection.ANSWER_SECONDS / 2)
    await impatient.dispose()
