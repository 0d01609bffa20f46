"""Claiming due tasks, and returning those whose worker, or whose claim, was lost.

A lost worker takes all its tasks along, and one of them may be what ended it. A task that lost two leases in a row is a
suspect, and claimed apart: a few at once, and from the third on one at a time. While a task ends one worker after
another the others that were with it come away from it, and complete. One lost lease is no suspicion: machines die, and
what ran there has to run again at once.
"""

import dataclasses
import datetime
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import database, schema, task
from duetime_core.store import finishes, rows


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """What one claim brought: the tasks that now run here, and when the queue's next one is due.

    Times are by the database's clock; `next_due_at` is None if nothing else waits.
    """

    tasks: list[task.Task]
    next_due_at: datetime.datetime | None
    now: datetime.datetime


_IN_QUEUE = f"queue = :queue AND {schema.WAITS} AND NOT is_next AND priority = level.priority"
_LEVELS = f"generate_series({task.MAX_PRIORITY}, 0, -1) AS level (priority)"
# Priority by priority, for as long as there are places: what the limit does not ask for is neither read nor locked.
_DUE_IN_QUEUE = f"""
    SELECT task_id FROM {_LEVELS} CROSS JOIN LATERAL (
        SELECT task_id FROM tasks
        WHERE {_IN_QUEUE} AND {schema.DUE_AT} <= now()
        ORDER BY {schema.DUE_AT}, task_id
        LIMIT :places
        FOR UPDATE SKIP LOCKED
    ) AS due
    LIMIT :places
"""
_NEXT_IN_QUEUE = f"""
    SELECT min(execution_time) FROM {_LEVELS} CROSS JOIN LATERAL (
        SELECT execution_time FROM tasks
        WHERE {_IN_QUEUE} AND {schema.DUE_AT} > now()
        ORDER BY {schema.DUE_AT}, task_id
        LIMIT 1
    ) AS next
"""


# `ANY(ARRAY(SELECT …))` over the materialized CTE keeps the ordered index scan and its limit; `IN (SELECT … LIMIT …)`
# can exceed it.
def _claim(due: str, next_due_at: str = "NULL") -> sa.TextClause:
    # What the partial indexes ask for is written out: a generic plan cannot conclude it from a parameter.
    return sa.text(f"""
        WITH due AS MATERIALIZED ({due}), claimed AS (
            UPDATE tasks SET status = 'running', version = version + 1, updated_at = now(), executed_at = now(),
                worker_id = :worker_id, lease_expires_at = now() + CAST(:lease AS interval)
            WHERE task_id = ANY(ARRAY(SELECT task_id FROM due))
            RETURNING {rows.TASK_COLUMNS}
        ), {rows.write_log("claimed", change="'started'", actor=":worker_id")}
        SELECT {rows.TASK_COLUMNS}, moment.next_due_at, moment.now
        FROM (
            SELECT now() AS now, ({next_due_at}) AS next_due_at
        ) AS moment
        LEFT JOIN claimed ON true
        ORDER BY priority DESC, execution_time, task_id
    """)


def _claim_suspects(which: str) -> sa.TextClause:
    return _claim(f"""
        SELECT task_id FROM tasks
        WHERE queue = ANY(:queues) AND status = 'pending' AND lost_leases {which} AND {schema.DUE_AT} <= now()
        ORDER BY {schema.DUE_AT}, task_id
        LIMIT :places
        FOR UPDATE SKIP LOCKED
    """)


_CLAIM = _claim(_DUE_IN_QUEUE, _NEXT_IN_QUEUE)
_CLAIM_SUSPECTS = {2: _claim_suspects("= 2"), 3: _claim_suspects(">= 3")}
LEVELS = sorted(_CLAIM_SUSPECTS, reverse=True)
"""How many leases in a row suspects lost, as they are told apart: the last one stands for more, too."""

# The last retry that a lost lease spends ends the task: one that kills its worker cannot do so for ever.
_RETURN_LOST = sa.text(f"""
WITH lost AS MATERIALIZED (
    SELECT task_id, worker_id, now() - executed_at AS duration FROM tasks
    WHERE status = 'running' AND lease_expires_at < now()
    ORDER BY lease_expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE tasks SET
        status = CASE WHEN retry_count < max_retries THEN 'pending' ELSE 'failed' END,
        retry_count = retry_count + CASE WHEN retry_count < max_retries THEN 1 ELSE 0 END,
        lost_leases = lost_leases + 1,
        version = version + 1, updated_at = now(), worker_id = NULL, lease_expires_at = NULL,
        error_message = format('Worker %s was lost: it stopped extending its lease.', lost.worker_id) || CASE
            WHEN retry_count < max_retries THEN ''
            WHEN lost_leases = 0 THEN ' No retries are left.'
            ELSE format(' No retries are left. Its worker was lost %s times in a row: '
                'the task may be what ends them.', lost_leases + 1)
        END
    FROM lost WHERE tasks.task_id = lost.task_id
    RETURNING tasks.task_id, version, status, execution_time, retry_count, queue, error_message, lost.duration
), {
    rows.write_log(
        "moved",
        change="CASE status WHEN 'pending' THEN 'lease_lost' ELSE 'failed' END",
        actor=":worker_id",
        error="error_message",
        duration="duration",
    )
}
SELECT task_id FROM moved
""")

_RETURN_LOST_LIMIT = 1000

# What somebody holds is left to the next look, as by a claim: neither may be held up.
_RELEASE_UNKNOWN = sa.text(f"""
WITH unknown AS MATERIALIZED (
    SELECT task_id FROM tasks
    WHERE status = 'running' AND worker_id = :worker_id AND executed_at < CAST(:claimed_before AS timestamptz)
        AND task_id <> ALL(CAST(:held AS bigint[]))
    ORDER BY task_id
    FOR UPDATE SKIP LOCKED
), released AS (
    UPDATE tasks SET status = 'pending', version = version + 1, updated_at = now(),
        worker_id = NULL, lease_expires_at = NULL
    WHERE task_id = ANY(ARRAY(SELECT task_id FROM unknown))
    RETURNING task_id, version, status, execution_time, retry_count, queue
), {rows.write_log("released", change="'handed_back'", actor=":worker_id")}
SELECT task_id, queue, status, execution_time, now() FROM released
""")

_NOW = sa.text("SELECT now()")


async def claim(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queue: str,
    worker_id: str,
    places: int,
    lease: datetime.timedelta,
) -> Claim:
    """Takes up to `places` due tasks of `queue`, by priority and then execution_time, for `lease`.

    Suspects are passed over.
    """
    parameters = {"queue": queue, "worker_id": worker_id, "places": places, "lease": lease}
    return await _take(engine, _CLAIM, parameters)


async def claim_suspects(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queues: Collection[str],
    level: int,
    worker_id: str,
    places: int,
    lease: datetime.timedelta,
) -> list[task.Task]:
    """Takes up to `places` suspects of all of `queues`, as `claim` does.

    It takes those of one of LEVELS.
    """
    parameters = {"queues": list(queues), "worker_id": worker_id, "places": places, "lease": lease}
    return (await _take(engine, _CLAIM_SUSPECTS[level], parameters)).tasks


async def _take(engine: sqlalchemy_asyncio.AsyncEngine, statement: sa.TextClause, parameters: dict[str, Any]) -> Claim:
    with database.unavailable():
        async with engine.connect() as connection:
            claimed = (await connection.execute(statement, parameters)).all()
    tasks = [rows.read_task(row) for row in claimed if row[0] is not None]
    return Claim(tasks, next_due_at=claimed[0].next_due_at, now=claimed[0].now)


async def now(engine: sqlalchemy_asyncio.AsyncEngine) -> datetime.datetime:
    """Returns the time by the database's clock, which leases run by."""
    with database.unavailable():
        async with engine.connect() as connection:
            moment: datetime.datetime = (await connection.execute(_NOW)).scalar_one()
            return moment


async def return_lost(engine: sqlalchemy_asyncio.AsyncEngine, *, worker_id: str) -> list[int]:
    """Returns the ids of running tasks whose lease ran out, after making them pending again, or failed.

    Whether the workers had a chance to extend those leases is for the caller to know.
    It moves at most 1,000 in one call. `worker_id` is who notices, for the log.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            moved = await connection.execute(_RETURN_LOST, {"worker_id": worker_id, "limit": _RETURN_LOST_LIMIT})
            return [row[0] for row in moved]


async def release_unknown(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    worker_id: str,
    held: Collection[int],
    claimed_before: datetime.datetime,
) -> list[finishes.Finished]:
    """Hands back what that worker claimed before that moment and is not among `held`; it spends no retry.

    `claimed_before` is by the database's clock, before the call. It fences a call that PostgreSQL gets late, when its
    caller has given it up and claimed more.
    """
    parameters = {"worker_id": worker_id, "held": list(held), "claimed_before": claimed_before}
    with database.unavailable():
        async with engine.connect() as connection:
            released = await connection.execute(_RELEASE_UNKNOWN, parameters)
            return [finishes.Finished(row[0], row[1], task.Status(row[2]), row[3], row[4]) for row in released]
