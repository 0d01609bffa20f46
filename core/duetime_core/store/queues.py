"""Reading queues, and holding them back."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import database, errors, queue, schema, task
from duetime_core.store import workers

_CONTROL = "is_paused, max_running, max_per_second, max_running_per_key, max_per_second_per_key"

_WAITING = {
    "due": schema.ORDINARY,
    "urgent": schema.URGENT,
    "next": "is_next",
    "suspects": "status = 'pending' AND lost_leases > 1",
}
"""What waits in a queue, by the index that has it."""


def _names_of(index: str, condition: str) -> str:
    """Returns the CTE of the queues that an index has, each found by one look into it."""
    return f"""{index}_names AS (
        (SELECT queue FROM tasks WHERE {condition} ORDER BY queue LIMIT 1)
        UNION ALL
        SELECT (SELECT queue FROM tasks WHERE {condition} AND queue > before.queue ORDER BY queue LIMIT 1)
        FROM {index}_names AS before WHERE before.queue IS NOT NULL
    )"""


_LEVELS = f"generate_series(1, {task.MAX_PRIORITY}) AS level (number)"
_DUE = f"""(
    SELECT count(*) AS depth, min(execution_time) AS oldest_due FROM (
        SELECT execution_time FROM tasks
        WHERE queue = names.queue AND {_WAITING["due"]} AND {schema.DUE_AT} <= now()
        UNION ALL
        SELECT execution_time FROM {_LEVELS} JOIN tasks ON tasks.priority = level.number
        WHERE queue = names.queue AND {_WAITING["urgent"]} AND {schema.DUE_AT} <= now()
        UNION ALL
        SELECT execution_time FROM tasks
        WHERE queue = names.queue AND {_WAITING["next"]} AND {schema.DUE_AT} <= now() AND status = 'pending'
        UNION ALL
        SELECT execution_time FROM tasks
        WHERE queue = names.queue AND {_WAITING["suspects"]} AND {schema.DUE_AT} <= now()
    ) AS due
)"""

_LIST = sa.text(f"""
WITH RECURSIVE {", ".join(_names_of(index, condition) for index, condition in _WAITING.items())},
running AS MATERIALIZED (
    SELECT queue, count(*) AS running FROM tasks WHERE status = 'running' GROUP BY queue
), served AS MATERIALIZED (
    SELECT queue, count(*) AS workers, sum(coalesce(CAST(rates ->> queue AS float8), 0)) AS rate
    FROM workers, unnest(queues) AS queue WHERE {workers.ALIVE} GROUP BY queue
), names AS MATERIALIZED (
    SELECT queue FROM due_names UNION SELECT queue FROM urgent_names
    UNION SELECT queue FROM next_names UNION SELECT queue FROM suspects_names
    UNION SELECT queue FROM running UNION SELECT queue FROM served UNION SELECT name FROM queues
)
SELECT names.queue, coalesce(is_paused, false), max_running, max_per_second, max_running_per_key,
    max_per_second_per_key, due.depth, due.oldest_due, coalesce(running, 0), coalesce(rate, 0), coalesce(workers, 0)
FROM names
CROSS JOIN LATERAL {_DUE} AS due
LEFT JOIN queues ON queues.name = names.queue
LEFT JOIN running ON running.queue = names.queue
LEFT JOIN served ON served.queue = names.queue
WHERE names.queue IS NOT NULL AND (CAST(:queue AS text) IS NULL OR names.queue = :queue)
ORDER BY names.queue
""")

_LOCK = sa.text(f"SELECT {_CONTROL} FROM queues WHERE name = :queue FOR UPDATE")
_INSERT = sa.text("INSERT INTO queues (name) VALUES (:queue) ON CONFLICT (name) DO NOTHING")
_UPDATE = sa.text("""
UPDATE queues SET is_paused = :is_paused, max_running = :max_running, max_per_second = :max_per_second,
    max_running_per_key = :max_running_per_key, max_per_second_per_key = :max_per_second_per_key, updated_at = now()
WHERE name = :queue
""")
# What a rate let pass before is nothing to a new one, and a queue that nothing holds back is claimed from in one
# statement.
_DELETE = sa.text("DELETE FROM queues WHERE name = :queue")
_DELETE_KEYS = sa.text("DELETE FROM queue_keys WHERE queue = :queue")
_NOW = sa.text("SELECT now()")


async def list_queues(engine: sqlalchemy_asyncio.AsyncEngine) -> list[queue.Queue]:
    """Returns the queues that have tasks to run, are served by a live worker, or are held back, by name."""
    return await _read(engine, None)


async def get(engine: sqlalchemy_asyncio.AsyncEngine, name: str) -> queue.Queue:
    """Returns that queue; raises QueueNotFound if `list_queues` would not list it."""
    found = await _read(engine, name)
    if not found:
        raise errors.QueueNotFound.of(name)
    return found[0]


async def update(
    engine: sqlalchemy_asyncio.AsyncEngine, name: str, changes: Mapping[str, Any], *, is_new: bool
) -> tuple[queue.Queue, datetime.datetime]:
    """Changes those fields of the queue's control, checked already, and returns it with the database's time.

    Raises QueueNotFound as `get` does, unless `is_new` lets it hold back a queue that nothing names yet.
    """
    if not is_new:
        await get(engine, name)
    parameters = {"queue": name}
    with database.unavailable():
        async with database.transaction(engine) as connection:
            await connection.execute(_INSERT, parameters)
            present = (await connection.execute(_LOCK, parameters)).one()
            control = dataclasses.replace(queue.Control(*present), **changes)
            if control == queue.FREE:
                await connection.execute(_DELETE, parameters)
                await connection.execute(_DELETE_KEYS, parameters)
            else:
                await connection.execute(_UPDATE, {**parameters, **dataclasses.asdict(control)})
            now: datetime.datetime = (await connection.execute(_NOW)).scalar_one()
    found = await _read(engine, name)
    return (found[0] if found else queue.Queue(name, control)), now


async def _read(engine: sqlalchemy_asyncio.AsyncEngine, name: str | None) -> list[queue.Queue]:
    with database.unavailable():
        async with engine.connect() as connection:
            found = await connection.execute(_LIST, {"queue": name})
            return [queue.Queue(row[0], queue.Control(*row[1:6]), *row[6:]) for row in found]
