"""The sweep in the test's process."""

import asyncio
import datetime

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.claiming import rescue
from duetime_worker import sweep
from tests.support import backlogs, rows, workers

_LOST = {
    "name": "'wait'",
    "status": "'running'",
    "worker_id": "'lost'",
    "executed_at": "now()",
    "lease_expires_at": "now() - interval '1 s'",
}


async def test_a_lost_rack_is_reclaimed_in_one_go_and_not_a_batch_a_second(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "INTERVAL_SECONDS", 3600)
    client = redis_client.connect(redis_url)
    worker = workers.Worker(engine, doorbell.Doorbell(client), lease=datetime.timedelta(0))
    async with engine.connect() as connection:
        await backlogs.insert(engine, 2 * rescue.BATCH + 500, **_LOST)
        sweeping = background.start(sweep.Sweeper(worker.here, worker.runner).run())
        async with asyncio.timeout(60):
            while await rows.count(connection, "worker_id = 'lost'"):  # noqa: ASYNC110 - the database signals nothing
                await asyncio.sleep(0.05)
    await background.end(sweeping)
    await client.aclose(close_connection_pool=True)
