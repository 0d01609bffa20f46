"""The sweep in the test's process."""

import asyncio
import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.claiming import rescue
from duetime_worker import sweep
from tests.support import workers

_LOSE = sa.text("""
INSERT INTO tasks (name, queue, status, execution_time, task_data, retry_initial_backoff, retry_max_backoff,
    retry_multiplier, retry_jitter, worker_id, executed_at, lease_expires_at)
SELECT 'wait', 'default', 'running', now(), '{}', '1 s', '1 s', 2, 0, 'lost', now(), now() - interval '1 s'
FROM generate_series(1, :count)
""")
_COUNT_RUNNING = sa.text("SELECT count(*) FROM tasks WHERE worker_id = 'lost'")


async def test_a_lost_rack_is_reclaimed_in_one_go_and_not_a_batch_a_second(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "INTERVAL_SECONDS", 3600)
    client = redis_client.connect(redis_url)
    worker = workers.Worker(engine, doorbell.Doorbell(client), lease=datetime.timedelta(0))
    async with engine.connect() as connection:
        await connection.execute(_LOSE, {"count": 2 * rescue.BATCH + 500})
        sweeping = background.start(sweep.Sweeper(worker.here, worker.runner).run())
        async with asyncio.timeout(60):
            while await connection.scalar(_COUNT_RUNNING):  # noqa: ASYNC110 - the database signals nothing
                await asyncio.sleep(0.05)
    await background.end(sweeping)
    await client.aclose(close_connection_pool=True)
