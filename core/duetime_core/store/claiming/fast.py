"""Claiming due tasks of unlimited queues in one statement, and quarantined tasks.

A lost worker loses the leases of all its tasks, and one of them may be a poison task that killed it. A task that lost
two leases in a row is quarantined and claimed apart: a few at once, and from the third lost lease on one at a time.
While a poison task kills one worker after another, the tasks that ran beside it are separated from it and complete. One
lost lease does not quarantine a task: machines fail, and their tasks have to run again at once.
"""

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.claiming import bounds, statements
from duetime_core.store.tasks import columns as task_columns


@dataclasses.dataclass(slots=True)
class Claim:
    """The result of a claim: the tasks that now run here, and when to claim from the queue again.

    Times are by the database's clock; `next_due_at` is None if no other task waits for its time.
    """

    tasks: list[task.Task]
    now: datetime.datetime
    next_due_at: datetime.datetime | None = None
    is_limited: bool = False
    """Whether the queue is limited, so that only `locked` claims from it."""
    has_occurrences: bool = False
    """Whether next occurrences of schedules are due, which start once their schedules have advanced."""
    has_priorities: bool = False
    """Whether tasks with a priority wait, due or not."""
    waits_for_runs: bool = False
    """Whether a due task waits for a run to end: because of its queue's limits, or of its schedule's overlap."""
    has_missed: bool = False
    """Whether due tasks wait behind the bounds of the claim: the next one finds them."""


# The fixed cost dominates small claims, so this only checks whether more has to be checked.
_CLAIM = statements.claim(
    statements.due_ordinary(where="AND (SELECT is_unlimited AND NOT has_priorities FROM queue_state)"),
    before=f"""queue_state AS MATERIALIZED (
        SELECT {statements.IS_UNLIMITED} AS is_unlimited, {statements.HAS_PRIORITIES} AS has_priorities
    ),""",
    is_limited="NOT (SELECT is_unlimited FROM queue_state)",
    has_priorities="(SELECT has_priorities FROM queue_state)",
    next_due_at=statements.NEXT_ORDINARY_AT,
    early_at=statements.EARLY_AT,
    first_occurrence_at=statements.FIRST_OCCURRENCE_AT,
)
_CLAIM_BY_PRIORITY = statements.claim(
    statements.due(where=f"AND {statements.IS_UNLIMITED}"),
    is_limited=statements.IS_LIMITED,
    has_priorities=statements.HAS_PRIORITIES,
    next_due_at=statements.NEXT_DUE_AT,
    early_at=statements.EARLY_AT,
    first_occurrence_at=statements.FIRST_OCCURRENCE_AT,
)
QUARANTINE = {
    task.QUARANTINE_LEASES: f"= {task.QUARANTINE_LEASES}",
    task.QUARANTINE_LEASES + 1: f">= {task.QUARANTINE_LEASES + 1}",
}
"""Level of quarantine, by how many leases in a row a task lost → the condition on `lost_leases`."""
_CLAIM_QUARANTINED = {
    level: statements.claim(
        statements.due_quarantined(
            lost_leases,
            queue="queue = ANY(:queues)",
            # `locked` claims those of limited queues.
            where="AND NOT EXISTS (SELECT FROM queues WHERE name = tasks.queue)",
        )
    )
    for level, lost_leases in QUARANTINE.items()
}
LEVELS = sorted(QUARANTINE, reverse=True)
"""The levels of quarantine; the highest one includes all tasks that lost more leases."""


async def claim(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queue: str,
    worker_id: str,
    limit: int,
    lease: datetime.timedelta,
    by_priority: bool = True,
    since: bounds.Bounds | None = None,
) -> Claim:
    """Claims up to `limit` due tasks of `queue`, by priority and then execution_time, for `lease`.

    It leaves quarantined tasks. If the result has `is_limited`, `locked.claim` claims the others.
    A claim that is not `by_priority` costs less, and takes nothing where tasks with a priority wait. `since` says from
    where on to read, by default from the beginning, and learns from the claim.
    """
    since = since or bounds.Bounds()
    parameters = {"queue": queue, "worker_id": worker_id, "limit": limit, "lease": lease}
    with since.look() as bounded, database.unavailable():
        async with engine.connect() as connection:
            statement = _CLAIM_BY_PRIORITY if by_priority else _CLAIM
            claimed = (await connection.execute(statement, {**parameters, **bounded})).all()
    moment = claimed[0]
    tasks = read_claimed(claimed, parameters)
    has_missed = False
    if not moment.is_limited and (by_priority or not moment.has_priorities):
        has_missed = since.learn(tasks, is_full=len(tasks) == limit, now=moment.now, early_at=moment.early_at)
    occurrence_at, has_occurrences = moment.first_occurrence_at, False
    if occurrence_at is not None and occurrence_at <= moment.now:
        occurrence_at, has_occurrences = None, True
    return Claim(
        tasks,
        moment.now,
        min(filter(None, (moment.next_due_at, occurrence_at)), default=None),
        moment.is_limited,
        has_occurrences,
        moment.has_priorities,
        has_missed=has_missed,
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
    """Claims up to `limit` quarantined tasks of the unlimited ones of `queues`, of one of LEVELS."""
    parameters = {"queues": list(queues), "worker_id": worker_id, "limit": limit, "lease": lease}
    with database.unavailable():
        async with engine.connect() as connection:
            claimed = (await connection.execute(_CLAIM_QUARANTINED[level], parameters)).all()
            return read_claimed(claimed, parameters)


def read_claimed(claimed: Sequence[sa.Row[Any]], parameters: Mapping[str, Any]) -> list[task.Task]:
    """Returns the tasks that a claim's statement returned for those parameters."""
    worker_id, lease, now = parameters["worker_id"], parameters["lease"], claimed[0].now
    return [
        task_columns.read_claimed(row, worker_id=worker_id, lease=lease, now=now)
        for row in claimed
        if row.task_id is not None
    ]
