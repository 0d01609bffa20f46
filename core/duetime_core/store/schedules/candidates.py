"""Schedules that may advance before their clock: an earlier run has ended, or a caller moved the next task forward."""

import datetime
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database, namespaced
from duetime_core.store import next_tasks
from duetime_core.store.tasks import columns as task_columns

PAGE = 1_000
"""How many schedules, or next tasks of a queue, one look reads."""

_IS_OVERLAPPED = task_columns.is_overlapped("schedules.schedule_id", "schedules.namespace_id")
_WAITING = sa.text(f"""
SELECT schedule_id, {_IS_OVERLAPPED} OR advance_failures > 0 AS has_to_wait FROM schedules
WHERE is_waiting AND schedule_id > :after ORDER BY schedule_id LIMIT :limit
""")
_ENDED = sa.text(f"""
SELECT schedule_id FROM schedules
WHERE schedule_id = ANY(CAST(:schedule_ids AS bigint[])) AND is_waiting AND advance_failures = 0
    AND NOT {_IS_OVERLAPPED}
""")
# Newest first: a task that was moved to now is found before thousands that are due for long, and wait. A schedule
# without a time to advance is one that a server of an earlier release created.
_MOVED = namespaced.text(f"""
SELECT queues.name, due.ready_at, due.task_id, due.schedule_id, due.read,
    NOT is_waiting AND advance_failures = 0
        AND (advance_at IS NULL OR tasks.execution_time < next_due_at) AS is_moved
FROM unnest(CAST(:queues AS text[]), CAST(:before AS timestamptz[]), CAST(:before_ids AS bigint[]))
    AS queues (name, before, before_id)
CROSS JOIN LATERAL (
    SELECT ready_at, task_id, schedule_id, count(*) OVER () AS read FROM (
        SELECT * FROM waiting
        WHERE waiting.namespace_id = :namespace_id AND waiting.queue = queues.name AND is_next
            AND (ready_at, task_id) < (least(queues.before, now()), before_id)
            AND ready_at >= {next_tasks.floor("queues.name")}
        ORDER BY ready_at DESC, task_id DESC LIMIT :limit
    ) AS page
) AS due
JOIN tasks ON tasks.task_id = due.task_id AND tasks.namespace_id = :namespace_id
JOIN schedules ON schedules.schedule_id = due.schedule_id AND schedules.namespace_id = :namespace_id
""")

Position = tuple[datetime.datetime, int]
_NEWEST: Position = (datetime.datetime.max.replace(tzinfo=datetime.UTC), 2**62)


class Page(NamedTuple):
    """Schedules that may advance, and where the look continues; 0 at the beginning."""

    schedule_ids: list[int]
    after: int


async def ended(engine: sqlalchemy_asyncio.AsyncEngine, schedule_ids: Sequence[int]) -> list[int]:
    """Returns those of the schedules that wait for a run which has ended."""
    with database.unavailable():
        async with engine.connect() as connection:
            found = await connection.execute(_ENDED, {"schedule_ids": schedule_ids})
            return list(found.scalars())


async def waiting(engine: sqlalchemy_asyncio.AsyncEngine, after: int) -> Page:
    """Returns those of the next page of waiting schedules whose earlier run has ended."""
    with database.unavailable():
        async with engine.connect() as connection:
            rows = (await connection.execute(_WAITING, {"after": after, "limit": PAGE})).all()
    following = rows[-1].schedule_id if len(rows) == PAGE else 0
    return Page([row.schedule_id for row in rows if not row.has_to_wait], following)


async def moved(
    engine: sqlalchemy_asyncio.AsyncEngine, queues: Sequence[str], positions: Mapping[str, Position]
) -> tuple[list[int], dict[str, Position]]:
    """Returns the schedules whose next task a caller moved forward, among the due ones of those of its queues.

    It reads a page of each queue, newest first, from the queue's position on, and returns the positions after them.
    """
    begins = [positions.get(queue, _NEWEST) for queue in queues]
    parameters = {
        "queues": list(queues),
        "before": [moment for moment, _ in begins],
        "before_ids": [task_id for _, task_id in begins],
        "limit": PAGE,
    }
    with database.unavailable():
        async with engine.connect() as connection:
            rows = (await connection.execute(_MOVED, parameters)).all()
    following: dict[str, Position] = {}
    for row in rows:
        if row.read == PAGE:
            position = (row.ready_at, row.task_id)
            following[row.name] = min(following.get(row.name, position), position)
    return [row.schedule_id for row in rows if row.is_moved], following
