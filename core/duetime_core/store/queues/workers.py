"""Workers, and their heartbeats."""

import json

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import queue, worker
from duetime_core.postgres import database, namespaced

KEPT = "1 hour"
"""How long a worker is listed after its last heartbeat."""

ALIVE = f"last_heartbeat_at > now() - interval '{queue.ALIVE_SECONDS} s'"
"""The condition that a row of `workers` is alive."""

# The workers of all namespaces: an old row is of nobody any more.
_HEARTBEAT = namespaced.text(f"""
WITH deleted AS (DELETE FROM workers WHERE last_heartbeat_at < now() - interval '{KEPT}' AND worker_id <> :worker_id)
INSERT INTO workers (namespace_id, worker_id, queues, handlers, concurrency, running, rates, free_slots, announces,
    last_heartbeat_at)
VALUES (:namespace_id, :worker_id, :queues, :handlers, :concurrency, :running, CAST(:rates AS jsonb), :free_slots, true,
    now())
ON CONFLICT (worker_id) DO UPDATE SET queues = excluded.queues, handlers = excluded.handlers,
    concurrency = excluded.concurrency, running = excluded.running, rates = excluded.rates,
    free_slots = excluded.free_slots, last_heartbeat_at = now()
""")
_REMOVE = namespaced.text("DELETE FROM workers WHERE namespace_id = :namespace_id AND worker_id = :worker_id")
_LIST = namespaced.text(f"""
SELECT worker_id, queues, handlers, concurrency, running, started_at, last_heartbeat_at, {ALIVE} AS is_alive,
    free_slots
FROM workers
WHERE namespace_id = :namespace_id AND worker_id > :after AND last_heartbeat_at > now() - interval '{KEPT}'
ORDER BY worker_id LIMIT :limit
""")


async def heartbeat(engine: sqlalchemy_asyncio.AsyncEngine, beat: worker.Heartbeat) -> None:
    """Records a heartbeat, and deletes the workers that sent none for an hour."""
    parameters = {
        "worker_id": beat.worker_id,
        "queues": list(beat.queues),
        "handlers": list(beat.handlers),
        "concurrency": beat.concurrency,
        "running": beat.running,
        "rates": json.dumps(dict(beat.rates)),
        "free_slots": beat.free_slots,
    }
    with database.unavailable():
        async with engine.connect() as connection:
            await connection.execute(_HEARTBEAT, parameters)


async def remove(engine: sqlalchemy_asyncio.AsyncEngine, worker_id: str) -> None:
    """Deletes a worker that stops gracefully."""
    with database.unavailable():
        async with engine.connect() as connection:
            await connection.execute(_REMOVE, {"worker_id": worker_id})


async def list_workers(engine: sqlalchemy_asyncio.AsyncEngine, *, after: str, limit: int) -> list[worker.Worker]:
    """Returns up to `limit` workers with an id above `after` that sent a heartbeat in the last hour, by their ids."""
    with database.unavailable():
        async with engine.connect() as connection:
            listed = await connection.execute(_LIST, {"after": after, "limit": limit})
            return [worker.Worker(**row._asdict()) for row in listed]
