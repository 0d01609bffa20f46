"""Claiming due tasks, and returning those whose worker, or whose claim, was lost.

A lost worker takes all its tasks along, and one of them may be what ended it. A task that lost two leases in a row is a
suspect, and claimed apart: a few at once, and from the third on one at a time. While a task ends one worker after
another the others that were with it come away from it, and complete. One lost lease is no suspicion: machines die, and
what ran there has to run again at once.
"""

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import database, task
from duetime_core.store import claim_statements, finishes, rows


@dataclasses.dataclass(slots=True)
class Claim:
    """What one claim brought: the tasks that now run here, and when to look into the queue again.

    Times are by the database's clock; `next_due_at` is None if nothing else waits for a moment.
    """

    tasks: list[task.Task]
    now: datetime.datetime
    next_due_at: datetime.datetime | None = None
    is_controlled: bool = False
    """Whether the queue is held back, so that `controlled_claims` alone claims from it."""
    has_occurrences: bool = False
    """Whether next occurrences of schedules are due, which `controlled_claims` alone claims."""
    has_priorities: bool = False
    """Whether tasks of a higher priority wait, due or not."""
    waits_for_runs: bool = False
    """Whether something is due that waits for a run to end: for its place under a limit, or for its schedule."""


# What it costs by itself is a good part of what small claims cost: it asks no more than whether there is more to ask.
_CLAIM = claim_statements.claim(
    claim_statements.due_ordinary(where="(SELECT is_free AND NOT has_priorities FROM found)"),
    before=f"""found AS MATERIALIZED (
        SELECT {claim_statements.IS_FREE} AS is_free, {claim_statements.HAS_PRIORITIES} AS has_priorities
    ),""",
    is_controlled="NOT (SELECT is_free FROM found)",
    has_priorities="(SELECT has_priorities FROM found)",
    next_due_at=claim_statements.NEXT_ORDINARY_AT,
    first_occurrence_at=claim_statements.FIRST_OCCURRENCE_AT,
)
_CLAIM_BY_PRIORITY = claim_statements.claim(
    claim_statements.due(where=claim_statements.IS_FREE),
    is_controlled=f"NOT {claim_statements.IS_FREE}",
    has_priorities=claim_statements.HAS_PRIORITIES,
    next_due_at=claim_statements.NEXT_DUE_AT,
    first_occurrence_at=claim_statements.FIRST_OCCURRENCE_AT,
)
SUSPECTS = {2: "= 2", 3: ">= 3"}
"""How many leases in a row suspects lost, as they are told apart → what `lost_leases` is then."""
_CLAIM_SUSPECTS = {
    level: claim_statements.claim(
        claim_statements.due_suspects(
            which,
            queue="queue = ANY(:queues)",
            # Those of a queue under control are claimed as everything of it.
            where="NOT EXISTS (SELECT FROM queues WHERE name = tasks.queue)",
        )
    )
    for level, which in SUSPECTS.items()
}
LEVELS = sorted(SUSPECTS, reverse=True)
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
    by_priority: bool = True,
) -> Claim:
    """Takes up to `places` due tasks of `queue`, by priority and then execution_time, for `lease`.

    Suspects are passed over. Where the answer says `is_controlled` or `has_occurrences`, there is more to claim by
    `controlled_claims`. A claim that is not `by_priority` costs less, and takes nothing where tasks of a higher
    priority wait.
    """
    parameters = {"queue": queue, "worker_id": worker_id, "places": places, "lease": lease}
    with database.unavailable():
        async with engine.connect() as connection:
            claimed = (await connection.execute(_CLAIM_BY_PRIORITY if by_priority else _CLAIM, parameters)).all()
    moment = claimed[0]
    occurrence_at, has_occurrences = moment.first_occurrence_at, False
    if occurrence_at is not None and occurrence_at <= moment.now:
        occurrence_at, has_occurrences = None, True
    return Claim(
        read_claimed(claimed, parameters),
        moment.now,
        min(filter(None, (moment.next_due_at, occurrence_at)), default=None),
        moment.is_controlled,
        has_occurrences,
        moment.has_priorities,
    )


async def claim_suspects(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queues: Collection[str],
    level: int,
    worker_id: str,
    places: int,
    lease: datetime.timedelta,
) -> list[task.Task]:
    """Takes up to `places` suspects of all of `queues` that nothing holds back, as `claim` does.

    It takes those of one of LEVELS.
    """
    parameters = {"queues": list(queues), "worker_id": worker_id, "places": places, "lease": lease}
    with database.unavailable():
        async with engine.connect() as connection:
            claimed = (await connection.execute(_CLAIM_SUSPECTS[level], parameters)).all()
            return read_claimed(claimed, parameters)


def read_claimed(claimed: Sequence[sa.Row[Any]], parameters: Mapping[str, Any]) -> list[task.Task]:
    """Returns the tasks of what a claim's statement answered to those parameters."""
    worker_id, lease, now = parameters["worker_id"], parameters["lease"], claimed[0].now
    return [rows.read_claimed(row, worker_id=worker_id, lease=lease, now=now) for row in claimed if row[0] is not None]


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
