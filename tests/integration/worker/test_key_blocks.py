"""Limits per key: what a claim reads, whatever else runs."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_worker import claimer
from tests.integration.worker import test_key_limits
from tests.support import factories, workers

_BLOCKS = """
SELECT CAST(sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0)
    + coalesce(toast_blks_read + toast_blks_hit + tidx_blks_read + tidx_blks_hit, 0)) AS int)
FROM pg_statio_user_tables
"""


async def read_blocks(engine: sqlalchemy_asyncio.AsyncEngine) -> int:
    """Returns how many blocks of tables and indexes the connection of the engine, its only one, has read so far."""
    async with engine.connect() as connection:
        await connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        return int((await connection.execute(sa.text(_BLOCKS))).scalar_one())


async def test_a_claim_of_a_free_key_reads_no_more_while_four_times_as_many_keys_are_full(
    database_url: str, redis_url: str
) -> None:
    engine = database.connect(database_url, pool_size=1)
    client = redis_client.connect(redis_url)
    few, many = 500, 2_000
    found = {}
    for keys in (few, many):
        await test_key_limits.fill(engine, count=3 * keys, keys=keys, name=f"full {keys}")
        await test_key_limits.limits(engine, max_running_per_key=1)
        claims = claimer.Claimer(workers.Worker(engine, doorbell.Doorbell(client), lease=factories.LEASE).here)
        for _ in range(3 * (few + many) // 500 + 1):  # until all that was due before is examined
            assert await test_key_limits.claimed(claims) == []
        counts = []
        for number in range(5):
            (task_id,) = await test_key_limits.create(engine, f"free {keys} {number}")
            before = await read_blocks(engine)
            assert test_key_limits.ids(await test_key_limits.claimed(claims)) == [task_id]
            counts.append(await read_blocks(engine) - before)
        found[keys] = min(counts)  # autovacuum reads blocks too
    assert found[many] < 1.5 * found[few] + 50, found
    await client.aclose(close_connection_pool=True)
    await engine.dispose()
