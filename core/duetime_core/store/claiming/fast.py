"""Claiming due tasks of unlimited queues in one statement, and quarantined tasks.

A lost worker loses the leases of all its tasks, and one of them may be a poison task that killed it. A task that lost
two leases in a row is quarantined and claimed apart: a few at once, and from the third lost lease on one at a time.
While a poison task kills one worker after another, the tasks that ran beside it are separated from it and complete. One
lost lease does not quarantine a task: machines fail, and their tasks have to run again at once.
"""

import dataclasses
import datetime
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import namespace, task
from duetime_core.postgres import database, direct
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
    """Whether next occurrences of schedules are due, which only `locked` claims."""
    has_urgent: bool = False
    """Whether tasks wait that are claimed before ordinary ones, due or not."""
    waits_for_runs: bool = False
    """Whether a due task waits for a run to end: because of its queue's limits, or of its schedule's overlap."""
    has_missed: bool = False
    """Whether keys of a queue with limits per key are left that the next claim examines."""


# The fixed cost dominates small claims, so this only checks whether more has to be checked.
_CLAIM = statements.claim(
    statements.due_ordinary(where="AND (SELECT is_unlimited AND NOT has_urgent FROM queue_state)"),
    before=f"""queue_state AS MATERIALIZED (
        SELECT {statements.IS_UNLIMITED} AS is_unlimited, {statements.HAS_URGENT} AS has_urgent
    ),""",
    is_limited="NOT (SELECT is_unlimited FROM queue_state)",
    has_urgent="(SELECT has_urgent FROM queue_state)",
    next_due_at=statements.NEXT_ORDINARY_AT,
    first_occurrence_at=statements.FIRST_OCCURRENCE_AT,
)
_CLAIM_BY_PRIORITY = statements.claim(
    statements.due(where=f"AND {statements.IS_UNLIMITED}"),
    is_limited=statements.IS_LIMITED,
    has_urgent=statements.HAS_URGENT,
    next_due_at=statements.NEXT_DUE_AT,
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
            where="""AND NOT EXISTS (
                SELECT FROM queues WHERE queues.namespace_id = waiting.namespace_id AND name = waiting.queue
            )""",
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

    Like all claims, it is within the namespace of the call: another one's queue may have the same name.

    It leaves quarantined tasks. If the result has `is_limited`, `locked.claim` claims the others.
    A claim that is not `by_priority` costs less, and takes nothing where tasks wait that come before ordinary ones.
    `since` says from where on to read, by default from the beginning, and learns from the claim.
    """
    since = since or bounds.Bounds()
    parameters = {"queue": queue, "worker_id": worker_id, "limit": limit, "lease": lease}
    with since.look() as bounded, database.unavailable():
        statement = _CLAIM_BY_PRIORITY if by_priority else _CLAIM
        rows = await direct.execute(engine, statement, {**parameters, **bounded})
        tasks = await read_claimed(functools.partial(direct.execute, engine), rows, parameters)
    now, is_limited, has_urgent, next_due_at, occurrence_at = rows[-1][_NOW:]
    if not is_limited and (by_priority or not has_urgent):
        since.learn(last(rows), is_full=len(rows) == limit, now=now)
    has_occurrences = occurrence_at is not None and occurrence_at <= now
    upcoming = next_due_at if has_occurrences else min(filter(None, (next_due_at, occurrence_at)), default=None)
    return Claim(tasks, now, upcoming, is_limited, has_occurrences, has_urgent)


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
        rows = await direct.execute(engine, _CLAIM_QUARANTINED[level], parameters)
        return await read_claimed(functools.partial(direct.execute, engine), rows, parameters)


_Rows = Sequence[Sequence[Any]]


def last(rows: _Rows) -> tuple[int, datetime.datetime, int] | None:
    """Returns the level, ready_at and task_id of the last task that a claim's statement returned."""
    row = rows[-1]
    return None if row[_CLAIMED_ID] is None else (row[_LEVEL], row[_READY_AT], row[_CLAIMED_ID])


async def read_claimed(
    execute: Callable[[sa.TextClause, Mapping[str, Any]], Awaitable[Iterable[Sequence[Any]]]],
    rows: _Rows,
    parameters: Mapping[str, Any],
) -> list[task.Task]:
    """Returns the tasks that a claim's statement returned for those parameters; `execute` reads those of it anew."""
    now = rows[-1][_NOW]
    started = {
        "worker_id": parameters["worker_id"],
        "started_at": now,
        "expires_at": now + parameters["lease"],
        "namespace_id": namespace.current(),
    }
    stale = [row[_CLAIMED_ID] for row in rows if row[_VERSION] != row[_CLAIMED_VERSION]]
    reread: dict[int, Sequence[Any]] = {}
    if stale:
        reread = {row[0]: row for row in await execute(statements.REREAD, {"task_ids": stale})}
    tasks = []
    for row in rows:
        task_id, version = row[_CLAIMED_ID], row[_CLAIMED_VERSION]
        if task_id is None:
            continue
        found = row if row[_VERSION] == version else reread.get(task_id)
        # Otherwise a caller has cancelled it meanwhile.
        if found is not None and found[_VERSION] == version:
            tasks.append(task_columns.read_claimed(found, version + 1, lease_id=row[_LEASE_ID], **started))
    return tasks


_VERSION = len(task_columns.CLAIMED)
_CLAIMED_ID, _CLAIMED_VERSION, _LEASE_ID, _LEVEL, _READY_AT, _NOW = range(_VERSION + 1, _VERSION + 7)
"""Positions in a row of a claim; the expressions of its moment follow."""
