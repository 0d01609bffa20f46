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

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.claiming import statements
from duetime_core.store.tasks import columns as task_columns


@dataclasses.dataclass(slots=True)
class Claim:
    """What one claim brought: the tasks that now run here, and when to look into the queue again.

    Times are by the database's clock; `next_due_at` is None if nothing else waits for a moment.
    """

    tasks: list[task.Task]
    now: datetime.datetime
    next_due_at: datetime.datetime | None = None
    is_limited: bool = False
    """Whether the queue is held back, so that `controlled_claims` alone claims from it."""
    has_occurrences: bool = False
    """Whether next occurrences of schedules are due, which `controlled_claims` alone claims."""
    has_priorities: bool = False
    """Whether tasks of a higher priority wait, due or not."""
    waits_for_runs: bool = False
    """Whether something is due that waits for a run to end: for its place under a limit, or for its schedule."""


# What it costs by itself is a good part of what small claims cost: it asks no more than whether there is more to ask.
_CLAIM = statements.claim(
    statements.due_ordinary(where="(SELECT is_unlimited AND NOT has_priorities FROM found)"),
    before=f"""found AS MATERIALIZED (
        SELECT {statements.IS_UNLIMITED} AS is_unlimited, {statements.HAS_PRIORITIES} AS has_priorities
    ),""",
    is_limited="NOT (SELECT is_unlimited FROM found)",
    has_priorities="(SELECT has_priorities FROM found)",
    next_due_at=statements.NEXT_ORDINARY_AT,
    first_occurrence_at=statements.FIRST_OCCURRENCE_AT,
)
_CLAIM_BY_PRIORITY = statements.claim(
    statements.due(where=statements.IS_UNLIMITED),
    is_limited=f"NOT {statements.IS_UNLIMITED}",
    has_priorities=statements.HAS_PRIORITIES,
    next_due_at=statements.NEXT_DUE_AT,
    first_occurrence_at=statements.FIRST_OCCURRENCE_AT,
)
QUARANTINE = {2: "= 2", 3: ">= 3"}
"""How many leases in a row suspects lost, as they are told apart → what `lost_leases` is then."""
_CLAIM_QUARANTINED = {
    level: statements.claim(
        statements.due_quarantined(
            which,
            queue="queue = ANY(:queues)",
            # Those of a queue under control are claimed as everything of it.
            where="NOT EXISTS (SELECT FROM queues WHERE name = tasks.queue)",
        )
    )
    for level, which in QUARANTINE.items()
}
LEVELS = sorted(QUARANTINE, reverse=True)
"""How many leases in a row suspects lost, as they are told apart: the last one stands for more, too."""


async def claim(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queue: str,
    worker_id: str,
    limit: int,
    lease: datetime.timedelta,
    by_priority: bool = True,
) -> Claim:
    """Takes up to `limit` due tasks of `queue`, by priority and then execution_time, for `lease`.

    Suspects are passed over. Where the answer says `is_limited` or `has_occurrences`, there is more to claim by
    `controlled_claims`. A claim that is not `by_priority` costs less, and takes nothing where tasks of a higher
    priority wait.
    """
    parameters = {"queue": queue, "worker_id": worker_id, "limit": limit, "lease": lease}
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
        moment.is_limited,
        has_occurrences,
        moment.has_priorities,
    )


async def claim_quarantined(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queues: Collection[str],
    level: int,
    worker_id: str,
    limit: int,
    lease: datetime.timedelta,
) -> list[task.Task]:
    """Takes up to `limit` suspects of all of `queues` that nothing holds back, as `claim` does.

    It takes those of one of LEVELS.
    """
    parameters = {"queues": list(queues), "worker_id": worker_id, "limit": limit, "lease": lease}
    with database.unavailable():
        async with engine.connect() as connection:
            claimed = (await connection.execute(_CLAIM_QUARANTINED[level], parameters)).all()
            return read_claimed(claimed, parameters)


def read_claimed(claimed: Sequence[sa.Row[Any]], parameters: Mapping[str, Any]) -> list[task.Task]:
    """Returns the tasks of what a claim's statement answered to those parameters."""
    worker_id, lease, now = parameters["worker_id"], parameters["lease"], claimed[0].now
    return [
        task_columns.read_claimed(row, worker_id=worker_id, lease=lease, now=now)
        for row in claimed
        if row[0] is not None
    ]
