"""Claiming from limited queues, in a transaction.

The queue's row is locked first, so that claims from it run one after another, and each counts the tasks that the ones
before it claimed. This enforces the limits over any number of workers.
"""

import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database, namespaced
from duetime_core.redis import wakeup
from duetime_core.store.claiming import bounds, fast, key_limits, keys, queue_lock, statements

_MOMENT = {
    "next_due_at": statements.NEXT_DUE_AT,
    "has_occurrences": statements.HAS_OCCURRENCES,
}
_CLAIM_UNLIMITED = statements.claim(statements.due(where=f"AND {statements.IS_UNLIMITED}"), **_MOMENT)
_CLAIM_PICKED = statements.claim(statements.PICKED, key="coalesce(concurrency_key, '')", **_MOMENT)


class _Source:
    """The due tasks that a claim chooses from: those of a queue, or its quarantined ones of one level."""

    def __init__(self, lost_leases: str | None) -> None:
        self._lost_leases = lost_leases
        self.claim = statements.claim(self._due("task_id"), **_MOMENT)
        self.read = namespaced.text(self._due(key_limits.COLUMNS))

    def _due(self, columns: str) -> str:
        if self._lost_leases is None:
            return statements.due(columns=columns)
        return statements.due_quarantined(self._lost_leases, queue="queue = :queue", columns=columns)


_TASKS = _Source(None)
_QUARANTINE = {level: _Source(lost_leases) for level, lost_leases in fast.QUARANTINE.items()}


async def claim(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queue: str,
    worker_id: str,
    limit: int,
    lease: datetime.timedelta,
    since: bounds.Bounds | None = None,
) -> fast.Claim:
    """Claims up to `limit` due tasks of `queue`, as `fast.claim` does, but no more than its limits allow.

    Raises QueueBusy.
    """
    since = since or bounds.Bounds()
    with since.look() as bounded, database.unavailable():
        parameters = {"queue": queue, "worker_id": worker_id, "lease": lease, **bounded}
        async with database.transaction(engine) as connection:
            if since.is_sweep and since.of_keys is not None:
                since.of_keys.ended.update(await keys.ended(connection, queue))
            locked = await queue_lock.lock(connection, queue)
            if locked is not None:
                return await _take(connection, locked, _TASKS, parameters, limit, since)
            # It is no longer limited, and only `fast.claim` learns of unlimited ones.
            parameters |= {"limit": limit, **bounds.Bounds().parameters}
            rows = (await connection.execute(_CLAIM_UNLIMITED, parameters)).all()
            return await _read(connection, rows, parameters)


async def claim_quarantined(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queue: str,
    level: int,
    worker_id: str,
    limit: int,
    lease: datetime.timedelta,
) -> list[task.Task]:
    """Claims up to `limit` quarantined tasks of a limited queue, as `fast.claim_quarantined` does of others.

    Raises QueueBusy.
    """
    parameters = {"queue": queue, "worker_id": worker_id, "lease": lease, **bounds.Bounds().parameters}
    with database.unavailable():
        async with database.transaction(engine) as connection:
            locked = await queue_lock.lock(connection, queue)
            if locked is None:
                return []
            return (await _take(connection, locked, _QUARANTINE[level], parameters, limit)).tasks


async def _take(
    connection: sqlalchemy_asyncio.AsyncConnection,
    locked: queue_lock.QueueLock,
    source: _Source,
    parameters: dict[str, Any],
    limit: int,
    since: bounds.Bounds | None = None,
) -> fast.Claim:
    limit = int(min(limit, locked.available))
    waits = key_limits.Waits()
    if limit <= 0:
        claim = fast.Claim([], locked.now)
    elif locked.limits.has_key_limits:
        claim, waits = await _take_by_key(connection, locked, source, parameters, limit, since)
        claim.has_missed = waits.has_missed
    else:
        rows = (await connection.execute(source.claim, {**parameters, "limit": limit})).all()
        claim = await _read(connection, rows, parameters)
        if since is not None:
            since.learn(fast.last(rows), is_full=len(rows) == limit, now=claim.now)
    await locked.spend(connection, len(claim.tasks))
    claim.now, claim.is_limited = locked.now, True
    claim.waits_for_runs = locked.waits_for_runs or waits.for_a_run
    if not locked.limits.is_paused:
        # A rate limit lets single tasks start at any time: those of one wakeup slot start together.
        start_times = [time for time in (locked.next_start_at, waits.next_start_at) if time is not None]
        if start_times:
            next_start_at = max(min(start_times), locked.now + wakeup.SLOT)
            claim.next_due_at = min(next_start_at, claim.next_due_at or next_start_at)
    return claim


async def _take_by_key(
    connection: sqlalchemy_asyncio.AsyncConnection,
    locked: queue_lock.QueueLock,
    source: _Source,
    parameters: dict[str, Any],
    limit: int,
    since: bounds.Bounds | None,
) -> tuple[fast.Claim, key_limits.Waits]:
    pick = key_limits.Pick(connection, locked, limit)
    if since is None:
        await pick.from_rows((await connection.execute(source.read, {**parameters, "limit": limit})).all())
    else:
        await pick.from_queue(since.use_keys(locked.now))
    rows = (await connection.execute(_CLAIM_PICKED, {**parameters, **pick.parameters})).all()
    claim = await _read(connection, rows, parameters)
    return claim, await pick.settle({row.claimed_id for row in rows if row.claimed_id is not None})


async def _read(
    connection: sqlalchemy_asyncio.AsyncConnection,
    rows: Sequence[sa.Row[Any]],
    parameters: dict[str, Any],
) -> fast.Claim:
    moment = rows[-1]
    return fast.Claim(
        await fast.read_claimed(connection.execute, rows, parameters),
        moment.now,
        moment.next_due_at,
        has_occurrences=moment.has_occurrences,
    )
