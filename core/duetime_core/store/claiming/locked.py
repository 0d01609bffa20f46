"""Claiming from a queue that is held back, and claiming the occurrences of schedules: in a transaction.

The queue's row is locked first, so that claims from it come one after another, and each counts what the ones before it
took. That is what keeps limits, however many workers there are.
"""

import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.redis import wakeup
from duetime_core.store.claiming import fast, key_limits, queue_lock, statements
from duetime_core.store.schedules import advance as schedule_advance

_MOMENT = {"next_due_at": statements.NEXT_DUE_AT, "has_occurrences": statements.HAS_OCCURRENCES}
_CLAIM_FREE = statements.claim(statements.due(where=statements.IS_UNLIMITED), **_MOMENT)
_CLAIM_PICKED = statements.claim("SELECT unnest(CAST(:task_ids AS bigint[])) AS task_id", **_MOMENT)


class _Source:
    """The due tasks that a claim takes from: those of a queue, or its suspects of one level."""

    def __init__(self, which: str | None) -> None:
        self._which = which
        self.claim = statements.claim(self.due("task_id", "true"), **_MOMENT)

    def due(self, columns: str, where: str) -> str:
        if self._which is None:
            return statements.due(columns=columns, where=where)
        return statements.due_quarantined(self._which, queue="queue = :queue", columns=columns, where=where)


_TASKS = _Source(None)
_QUARANTINE = {level: _Source(which) for level, which in fast.QUARANTINE.items()}


async def claim(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queue: str,
    worker_id: str,
    limit: int,
    lease: datetime.timedelta,
) -> fast.Claim:
    """Takes up to `limit` due tasks of `queue`, as `claims.claim` does, but no more than its limits allow.

    Where a schedule's next occurrence is due, it makes the one after it first.
    """
    parameters = {"queue": queue, "worker_id": worker_id, "lease": lease}
    with database.unavailable():
        async with database.transaction(engine) as connection:
            locked = await queue_lock.lock(connection, queue)
            if locked is not None:
                return await _claim(connection, locked, parameters, limit)
            waits = await schedule_advance.advance_due(connection, queue, limit=limit, actor=worker_id)
            answered = (await connection.execute(_CLAIM_FREE, {**parameters, "limit": limit})).all()
            return _read(answered, parameters, waits_for_runs=waits)


async def claim_quarantined(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queue: str,
    level: int,
    worker_id: str,
    limit: int,
    lease: datetime.timedelta,
) -> list[task.Task]:
    """Takes up to `limit` suspects of a queue that is held back, as `claims.claim_suspects` does of others."""
    parameters = {"queue": queue, "worker_id": worker_id, "lease": lease}
    with database.unavailable():
        async with database.transaction(engine) as connection:
            locked = await queue_lock.lock(connection, queue)
            if locked is None:
                return []
            return (await _take(connection, locked, _QUARANTINE[level], parameters, limit)).tasks


async def _claim(
    connection: sqlalchemy_asyncio.AsyncConnection,
    locked: queue_lock.QueueLock,
    parameters: dict[str, Any],
    limit: int,
) -> fast.Claim:
    waits = False
    if locked.available >= 1:
        room, worker_id = int(min(limit, locked.available)), parameters["worker_id"]
        waits = await schedule_advance.advance_due(connection, locked.queue, limit=room, actor=worker_id)
    claim = await _take(connection, locked, _TASKS, parameters, limit)
    claim.waits_for_runs |= waits
    return claim


async def _take(
    connection: sqlalchemy_asyncio.AsyncConnection,
    locked: queue_lock.QueueLock,
    source: _Source,
    parameters: dict[str, Any],
    limit: int,
) -> fast.Claim:
    limit = int(min(limit, locked.available))
    picked = key_limits.Picked()
    answered: Sequence[sa.Row[Any]] = []
    if limit > 0:
        if locked.limits.has_key_limits:
            picked = await key_limits.pick(connection, locked, source.due, limit)
            answered = (await connection.execute(_CLAIM_PICKED, {**parameters, "task_ids": picked.task_ids})).all()
        else:
            answered = (await connection.execute(source.claim, {**parameters, "limit": limit})).all()
    claim = _read(answered, parameters) if answered else fast.Claim([], locked.now)
    await locked.spend(connection, len(claim.tasks))
    claim.now, claim.is_limited = locked.now, True
    claim.waits_for_runs = locked.waits_for_runs or picked.waits_for_runs
    if not locked.limits.is_paused:
        # A rate lets single tasks start at any moment: those of a slot start together.
        soonest = [moment for moment in (locked.next_start_at, picked.next_start_at) if moment is not None]
        if soonest:
            again_at = max(min(soonest), locked.now + wakeup.SLOT)
            claim.next_due_at = min(again_at, claim.next_due_at or again_at)
    return claim


def _read(answered: Sequence[sa.Row[Any]], parameters: dict[str, Any], *, waits_for_runs: bool = False) -> fast.Claim:
    moment = answered[0]
    return fast.Claim(
        fast.read_claimed(answered, parameters),
        moment.now,
        moment.next_due_at,
        has_occurrences=moment.has_occurrences,
        waits_for_runs=waits_for_runs,
    )
