"""Limits count handlers until they have really ended: after a timeout, and on a worker that is cut off."""

import asyncio
import datetime
import pathlib

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from duetime_client import Status
from duetime_core.model import task
from duetime_core.store.queues import limit as queue_limit
from tests.support import clients, processes, proxies


async def one_at_a_time(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running": 1}, is_new=True, actor="api")


async def test_of_plain_functions_that_time_out_never_more_run_than_the_limit_allows(
    client: duetime_client.AsyncClient,
    start: processes.Starter,
    engine: sqlalchemy_asyncio.AsyncEngine,
    tmp_path: pathlib.Path,
) -> None:
    await one_at_a_time(engine)
    await asyncio.gather(start.worker(), start.worker())
    timeout = datetime.timedelta(seconds=0.2)
    task_ids = [
        await client.create("deaf", clients.NOW, {"seconds": seconds}, timeout=timeout, max_retries=0)
        for seconds in (6, 1.2, 1.2)
    ]
    await clients.happened(tmp_path, task_ids[0], "began")
    message = ""
    while "Its timeout of 0.2 s is over, but its handler has not ended" not in message:
        (reason,) = (await client.explain(task_ids[0])).reasons
        assert reason.code == "RUNNING", reason
        message = reason.message
    for task_id in task_ids:
        failed = await clients.finished(client, task_id)
        assert (failed.status, failed.error_message) == (Status.FAILED, "TimeoutError: timed out after 0.2 s")
    events = [each.what for each in clients.handler_events(tmp_path, *task_ids)]
    assert events == ["began", "ended"] * 3


@pytest.mark.parametrize("name", ["sleep", "block"])
async def test_a_worker_that_is_cut_off_ends_runs_of_limited_queues_before_another_may_start_them(
    client: duetime_client.AsyncClient,
    start: processes.Starter,
    engine: sqlalchemy_asyncio.AsyncEngine,
    proxy: proxies.Proxy,
    tmp_path: pathlib.Path,
    name: str,
) -> None:
    await one_at_a_time(engine)
    cut_off = await start.worker(lease="PT4S", database_url=proxy.url)
    task_id = await client.create(name, clients.NOW, {"seconds": 3600})
    await clients.happened(tmp_path, task_id, "began")
    other = await start.worker(lease="PT4S")
    proxy.closes_new = True
    await proxy.close_all()
    events = await clients.happened(tmp_path, task_id, "began", 2)
    assert [(each.what, each.pid) for each in events] == [
        ("began", cut_off.pid),
        ("cancelled", cut_off.pid),
        ("began", other.pid),
    ]


async def test_a_run_of_a_limited_queue_that_an_outage_ended_spends_no_retry(
    client: duetime_client.AsyncClient,
    start: processes.Starter,
    engine: sqlalchemy_asyncio.AsyncEngine,
    proxy: proxies.Proxy,
    tmp_path: pathlib.Path,
) -> None:
    await one_at_a_time(engine)
    await start.worker(lease="PT4S", database_url=proxy.url)
    task_id = await client.create("sleep", clients.NOW, {"seconds": 3600}, max_retries=0)
    await clients.happened(tmp_path, task_id, "began")
    proxy.closes_new = True
    await proxy.close_all()
    await clients.happened(tmp_path, task_id, "cancelled")
    proxy.closes_new = False
    await clients.happened(tmp_path, task_id, "began", 2)
    await clients.reached(client, task_id, "started")  # which is logged a moment after
    assert await clients.changes(client, task_id) == ["created", "started", "released", "started"]
    assert (await client.get(task_id)).retry_count == 0


async def test_a_run_of_an_unlimited_queue_survives_an_outage_that_is_longer_than_its_lease(
    client: duetime_client.AsyncClient, start: processes.Starter, proxy: proxies.Proxy, tmp_path: pathlib.Path
) -> None:
    await start.worker(lease="PT4S", database_url=proxy.url)
    task_id = await client.create("sleep", clients.NOW, {"seconds": 7}, max_retries=0)
    await clients.happened(tmp_path, task_id, "began")
    proxy.closes_new = True
    await proxy.close_all()
    await clients.happened(tmp_path, task_id, "ended")
    proxy.closes_new = False
    assert (await clients.finished(client, task_id)).status is Status.COMPLETED
    assert await clients.changes(client, task_id) == ["created", "started", "completed"]
