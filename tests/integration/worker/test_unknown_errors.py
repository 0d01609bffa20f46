"""Errors that no part of a process expects: they end neither a worker nor a server."""

import datetime
import pathlib

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from duetime_client import Status
from duetime_core.postgres import schema
from tests.support import clients, processes

_BROKEN = """
from duetime_core.store.schedules import candidates
from duetime_worker import heartbeat, leases, maintenance, sweep

async def _fail(*_):
    raise KeyError("a bug in a service")

heartbeat.HeartbeatSender.run = maintenance.Maintenance.run = _fail
leases.LeaseKeeper.listen = sweep.Sweeper.run = candidates.waiting = _fail
"""


async def test_services_that_raise_do_not_end_their_worker(
    client: duetime_client.AsyncClient, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "broken_services.py").write_text(_BROKEN)
    worker = await start.worker(
        handlers="tests.support.handlers,broken_services", variables={"PYTHONPATH": f"{tmp_path}:."}
    )
    for service in ("heartbeat", "maintenance", '"cancellation hints"', "sweep", "advancer"):
        await worker.wait_for_log(f'event="service failed" service={service} count=3')
        lines = [line for line in worker.log if f"service={service} count=" in line]
        assert ["Traceback" in line for line in lines[:3]] == [True, False, False]
    assert (await clients.finished(client, await client.create("noop", clients.NOW))).status is Status.COMPLETED
    worker.terminate()
    assert await worker.ended() == 0


_BROKEN_SERVER = """
import runpy
from duetime_server.tasks import handler_catalog
from duetime_server.watch import hub

async def _fail(*_):
    raise KeyError("a bug in a service")

handler_catalog.HandlerCatalog.run = hub.Hub.listen = _fail
runpy.run_module("duetime_server", run_name="__main__")
"""


async def test_services_that_raise_do_not_end_their_server(
    database_url: str, redis_url: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_server.py").write_text(_BROKEN_SERVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    starter = processes.Starter(tmp_path, database_url=database_url, redis_url=redis_url, wrapper=["broken_server"])
    try:
        server = await starter.server()
        for service in ('"handler catalog"', '"change hints"'):
            await server.wait_for_log(f"service={service} count=3")
        async with duetime_client.AsyncClient(server.address) as client:
            assert await client.create("noop", clients.NOW)
        server.terminate()
        assert await server.ended() == 0
    finally:
        await starter.kill_all()


async def test_a_schedule_that_cannot_get_a_task_id_ends_no_worker_and_stops_no_other_queue(
    client: duetime_client.AsyncClient, start: processes.Starter, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    template = duetime_client.TaskTemplate("noop", queue="scheduled")
    await client.create_schedule("stuck", template, interval=datetime.timedelta(seconds=1))
    other = [await client.create("noop", datetime.timedelta(seconds=seconds), queue="other") for seconds in (0, 3)]
    async with engine.connect() as connection:
        await connection.execute(sa.text(f"SELECT setval('tasks_task_id_seq', {schema.MAX_TASK_ID})"))
    worker = await start.worker(queues="scheduled,other")
    for task_id in other:
        assert (await clients.finished(client, task_id)).status is Status.COMPLETED
    assert worker.process.returncode is None
    worker.terminate()
    assert await worker.ended() == 0
