"""Limiting and pausing queues, and the log of these changes."""

import dataclasses
import datetime
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, queue
from duetime_core.postgres import clock, database, namespaced
from duetime_core.store.queues import earlier_claims, read

_LOCK = namespaced.text("""
SELECT is_paused, max_running, max_per_second, max_running_per_key, max_per_second_per_key
FROM queues WHERE namespace_id = :namespace_id AND name = :queue FOR UPDATE
""")
_INSERT = namespaced.text("""
INSERT INTO queues (namespace_id, name) VALUES (:namespace_id, :queue) ON CONFLICT (namespace_id, name) DO NOTHING
""")
_UPDATE = namespaced.text("""
UPDATE queues SET is_paused = :is_paused, max_running = :max_running, max_per_second = :max_per_second,
    max_running_per_key = :max_running_per_key, max_per_second_per_key = :max_per_second_per_key,
    updated_at = clock_timestamp()
WHERE namespace_id = :namespace_id AND name = :queue
""")
# An unlimited queue has no row: it is claimed from in one statement, and a later rate limit begins with a new bucket.
_DELETE = namespaced.text("DELETE FROM queues WHERE namespace_id = :namespace_id AND name = :queue")
_DELETE_KEYS = namespaced.text("DELETE FROM queue_keys WHERE namespace_id = :namespace_id AND queue = :queue")
# Their keys may have become free, or wait for something else.
_LOOK_AGAIN = namespaced.text("""
UPDATE queue_keys SET waits_until = now()
WHERE namespace_id = :namespace_id AND queue = :queue AND waits_until IS NOT NULL
""")
_LOG = namespaced.text("""
INSERT INTO queue_logs (namespace_id, queue, change, changes, actor, timestamp)
VALUES (:namespace_id, :queue, :change, CAST(:changes AS jsonb), :actor, clock_timestamp())
""")
_LIST_LOGS = namespaced.text("""
SELECT log_id, queue, change, changes, actor, timestamp FROM queue_logs
WHERE namespace_id = :namespace_id AND queue = :queue AND log_id > :after ORDER BY log_id LIMIT :limit
""")


async def update(
    engine: sqlalchemy_asyncio.AsyncEngine, name: str, changes: Mapping[str, Any], *, is_new: bool, actor: str
) -> tuple[queue.Queue, datetime.datetime]:
    """Changes those limits of a queue, validated already, and returns the queue with the database's time.

    Fields that differ are logged. No task that the new limits forbid starts after this has returned: claims that do not
    know of them have ended. Raises QueueNotFound for a queue that is not known and has no log, unless `is_new` allows
    it; StoreUnavailable if such claims take too long.
    """
    with database.unavailable():
        async with database.transaction(engine) as connection:
            if not is_new and not await read.may_change(connection, name):
                raise errors.QueueNotFound.of(name)
            present = await _lock(connection, name)
            limits = dataclasses.replace(present, **changes)
            if limits == queue.UNLIMITED:
                await connection.execute(_DELETE, {"queue": name})
                await connection.execute(_DELETE_KEYS, {"queue": name})
            else:
                await connection.execute(_UPDATE, {"queue": name, **dataclasses.asdict(limits)})
                await connection.execute(_LOOK_AGAIN, {"queue": name})
            if limits != present:
                await _log(connection, name, present, limits, actor)
            now: datetime.datetime = (await connection.execute(clock.NOW)).scalar_one()
    if limits != queue.UNLIMITED:
        with database.unavailable():
            await earlier_claims.wait(engine, name)
    try:
        found = await read.find(engine, name)
    except errors.StoreUnavailable as error:
        raise errors.StoreUnavailable(
            f"Queue {name!r} was changed, but could not be read afterwards: {error.message}"
        ) from error
    return found or queue.Queue(name, limits), now


async def _lock(connection: sqlalchemy_asyncio.AsyncConnection, name: str) -> queue.QueueLimits:
    while True:
        await connection.execute(_INSERT, {"queue": name})
        present = (await connection.execute(_LOCK, {"queue": name})).one_or_none()
        if present is not None:
            return queue.QueueLimits(**present._asdict())
        # The transaction that held the lock deleted the row.


async def _log(
    connection: sqlalchemy_asyncio.AsyncConnection,
    name: str,
    before: queue.QueueLimits,
    after: queue.QueueLimits,
    actor: str,
) -> None:
    old, new = dataclasses.asdict(before), dataclasses.asdict(after)
    changed = [[field, old[field], new[field]] for field in new if old[field] != new[field]]
    if [field for field, _, _ in changed] == ["is_paused"]:
        change = queue.Change.PAUSED if after.is_paused else queue.Change.RESUMED
    else:
        change = queue.Change.UPDATED
    parameters = {"queue": name, "change": change, "changes": json.dumps(changed), "actor": actor}
    await connection.execute(_LOG, parameters)


async def list_logs(
    engine: sqlalchemy_asyncio.AsyncEngine, name: str, *, after: int, limit: int
) -> list[queue.QueueLog]:
    """Returns up to `limit` rows of the queue's log with a log_id above `after`, oldest first.

    Raises QueueNotFound if there is none and `read.list_queues` would not list the queue either.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            parameters = {"queue": name, "after": after, "limit": limit}
            logs = [_read_log(row) for row in await connection.execute(_LIST_LOGS, parameters)]
            if not logs and not after and not await read.exists(connection, name):
                raise errors.QueueNotFound.of(name)
            return logs


def _read_log(row: sa.Row[Any]) -> queue.QueueLog:
    changes = [queue.FieldChange(*change) for change in row.changes]
    return queue.QueueLog(row.log_id, row.queue, row.change, changes, row.actor, row.timestamp)
