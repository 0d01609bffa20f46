"""Reading queues: a page of them, or one. One is found by its name alone, however many there are."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, queue
from duetime_core.postgres import database, namespaced, schema
from duetime_core.store import leases, next_tasks
from duetime_core.store.queues import workers

_WAITING = {
    "due": schema.ORDINARY,
    "urgent": schema.URGENT,
    "next": "is_next",
    "quarantined": schema.QUARANTINED,
}
"""The waiting tasks of a queue, by the index that has them."""
_FLOORS = {"due": "claim_floors", "urgent": "claim_floors", "next": "next_floors"}
"""The tables of the floors of these indexes."""


_OWN = "waiting.namespace_id = :namespace_id"


def _names_of(index: str, condition: str) -> str:
    """Returns the CTE of a page of the queues in an index, each found by one look-up (a loose index scan)."""
    return f"""{index}_names AS (
        (SELECT queue, 1 AS number FROM waiting WHERE {_OWN} AND {condition} AND queue > :after ORDER BY queue LIMIT 1)
        UNION ALL
        SELECT (
            SELECT queue FROM waiting WHERE {_OWN} AND {condition} AND queue > before.queue ORDER BY queue LIMIT 1
        ), number + 1
        FROM {index}_names AS before WHERE before.queue IS NOT NULL AND number < :limit
    )"""


def _floored_names_of(index: str, condition: str, floors: str, waits: str) -> str:
    """Returns the same CTE for an index whose entries of ended and advanced tasks may be many.

    A queue that workers empty there has a floor: there is looked, by the condition `waits`. Others are between these.
    """
    return f"""{index}_names AS (
        SELECT CAST(:after AS text) AS passed, CAST(NULL AS text) AS queue, 0 AS number
        UNION ALL
        SELECT found.queue, CASE WHEN found.waits THEN found.queue END, number + CAST(found.waits AS int)
        FROM {index}_names AS before
        CROSS JOIN LATERAL (
            SELECT min(queue) AS queue FROM {floors} WHERE namespace_id = :namespace_id AND queue > before.passed
        ) AS floored
        CROSS JOIN LATERAL (
            (SELECT queue, true AS waits FROM waiting
            WHERE {_OWN} AND {condition} AND queue > before.passed AND queue < floored.queue ORDER BY queue LIMIT 1)
            UNION ALL
            (SELECT queue, true FROM waiting
            WHERE floored.queue IS NULL AND {_OWN} AND {condition} AND queue > before.passed ORDER BY queue LIMIT 1)
            UNION ALL
            SELECT floored.queue, {waits} WHERE floored.queue IS NOT NULL
            LIMIT 1
        ) AS found
        WHERE number < :limit
    )"""


_LEVELS = f"generate_series(1, {schema.MAX_LEVEL}) AS levels (level)"
_FIRST = "ORDER BY ready_at, task_id LIMIT 1"
_FIRST_NEXT = "ORDER BY ready_at, task_id LIMIT 1000"
"""Next tasks that wait for long are stamped anew again and again: the first is not always that which was due first."""


# Entries of tasks that have ended stay before it while a transaction anywhere keeps an old snapshot.
_FLOOR = """coalesce((
    SELECT times[{level} + 1] FROM claim_floors
    WHERE claim_floors.namespace_id = :namespace_id AND claim_floors.queue = {queue}
), '-infinity')"""


def _waits(index: str, queue: str) -> str:
    """Returns the condition that tasks of a queue wait in an index that has floors."""
    if index == "next":
        return f"""EXISTS (
            SELECT FROM waiting
            WHERE {_OWN} AND {_WAITING["next"]} AND queue = {queue} AND ready_at >= {next_tasks.floor(queue)}
        )"""
    if index == "due":
        return f"""EXISTS (
            SELECT FROM waiting WHERE {_OWN} AND {_WAITING["due"]} AND queue = {queue}
                AND ready_at >= {_FLOOR.format(queue=queue, level=0)}
        )"""
    return f"""EXISTS (
        SELECT FROM {_LEVELS} CROSS JOIN LATERAL (
            SELECT FROM waiting WHERE {_OWN} AND {_WAITING["urgent"]} AND queue = {queue} AND level = levels.level
                AND ready_at >= {_FLOOR.format(queue=queue, level="levels.level")}
            LIMIT 1
        ) AS urgent
    )"""


def _due(first: str, first_next: str) -> str:
    """Returns a query of the ids of a queue's due tasks, from each index; `first` bounds the rows of each."""
    return f"""(
        SELECT task_id FROM waiting
        WHERE {_OWN} AND queue = names.queue AND {_WAITING["due"]} AND ready_at <= now()
            AND ready_at >= {_FLOOR.format(queue="names.queue", level=0)} {first}
    ) UNION ALL (
        SELECT urgent.task_id FROM {_LEVELS} CROSS JOIN LATERAL (
            SELECT task_id FROM waiting
            WHERE {_OWN} AND queue = names.queue AND {_WAITING["urgent"]} AND level = levels.level
                AND ready_at <= now() AND ready_at >= {_FLOOR.format(queue="names.queue", level="levels.level")} {first}
        ) AS urgent
    ) UNION ALL (
        SELECT task_id FROM waiting
        WHERE {_OWN} AND queue = names.queue AND {_WAITING["next"]} AND ready_at <= now()
            AND ready_at >= {next_tasks.floor("names.queue")} {first_next}
    ) UNION ALL (
        SELECT task_id FROM waiting
        WHERE {_OWN} AND queue = names.queue AND {_WAITING["quarantined"]} AND ready_at <= now() {first}
    )"""


# The due tasks are counted up to a bound, so that the cost of a queue does not grow with its backlog.
_DUE = f"""(
    SELECT (SELECT count(*) FROM (SELECT FROM ({_due("", "")}) AS due LIMIT {queue.MAX_DEPTH} + 1) AS counted) AS depth,
        -- Its ready_at may be later: when it came to wait.
        (
            SELECT min(execution_time) FROM ({_due(_FIRST, _FIRST_NEXT)}) AS firsts JOIN tasks USING (task_id)
            WHERE tasks.namespace_id = :namespace_id
        ) AS oldest_due
)"""
_RUNNING = f"""
    SELECT leased.queue, count(*) AS running FROM {leases.RUNNING} AS leased JOIN tasks USING (task_id, version)
    WHERE tasks.namespace_id = :namespace_id {{}} GROUP BY leased.queue
"""
_SERVED = f"""
    SELECT queue, count(*) AS workers, sum(coalesce(CAST(rates ->> queue AS float8), 0)) AS rate
    FROM workers, unnest(queues) AS queue WHERE namespace_id = :namespace_id AND {workers.ALIVE} {{}} GROUP BY queue
"""
_FACTS = f"""
SELECT names.queue, coalesce(is_paused, false) AS is_paused, max_running, max_per_second, max_running_per_key,
    max_per_second_per_key, due.depth, due.oldest_due, coalesce(running, 0) AS running, coalesce(rate, 0) AS rate,
    coalesce(workers, 0) AS workers
FROM names
CROSS JOIN LATERAL {_DUE} AS due
LEFT JOIN queues ON queues.namespace_id = :namespace_id AND queues.name = names.queue
LEFT JOIN running ON running.queue = names.queue
LEFT JOIN served ON served.queue = names.queue
ORDER BY names.queue
"""
_NAMES_OF = ", ".join(
    _floored_names_of(index, condition, _FLOORS[index], _waits(index, "floored.queue"))
    if index in _FLOORS
    else _names_of(index, condition)
    for index, condition in _WAITING.items()
)
_PAGE = f"""
WITH RECURSIVE {_NAMES_OF},
running AS MATERIALIZED ({_RUNNING.format("AND leased.queue > :after")}),
served AS MATERIALIZED ({_SERVED.format("AND queue > :after")}),
limited AS (
    SELECT name FROM queues WHERE namespace_id = :namespace_id AND name > :after ORDER BY name LIMIT :limit
),
names AS MATERIALIZED (
    SELECT queue FROM (
        SELECT queue FROM due_names UNION SELECT queue FROM urgent_names
        UNION SELECT queue FROM next_names UNION SELECT queue FROM quarantined_names
        UNION SELECT queue FROM running UNION SELECT queue FROM served UNION SELECT name FROM limited
    ) AS known
    WHERE queue IS NOT NULL ORDER BY queue LIMIT :limit
)
"""
_LIST = namespaced.text(_PAGE + _FACTS)
_NAMES = namespaced.text(f"{_PAGE} SELECT queue FROM names ORDER BY queue")

_HAS_WAITING = f"""
    {_waits("due", ":queue")}
    OR {_waits("urgent", ":queue")}
    OR {_waits("next", ":queue")}
    OR EXISTS (SELECT FROM waiting WHERE {_OWN} AND {_WAITING["quarantined"]} AND queue = :queue)
"""
_IS_KNOWN = f"""
    EXISTS (SELECT FROM queues WHERE namespace_id = :namespace_id AND name = :queue)
    OR EXISTS (
        SELECT FROM workers WHERE namespace_id = :namespace_id AND {workers.ALIVE} AND :queue = ANY(queues)
    )
    OR EXISTS (
        SELECT FROM {leases.RUNNING} AS leased JOIN tasks USING (task_id, version)
        WHERE leased.queue = :queue AND tasks.namespace_id = :namespace_id
    )
    OR {_HAS_WAITING}
"""
# A queue that a caller has changed is known to changes: otherwise the retry of a resume, which may delete the row of an
# idle queue, would find nothing to resume.
_MAY_CHANGE = namespaced.text(f"""
SELECT {_IS_KNOWN} OR EXISTS (SELECT FROM queue_logs WHERE namespace_id = :namespace_id AND queue = :queue)
""")
_EXISTS = namespaced.text(f"SELECT {_IS_KNOWN}")
_GET = namespaced.text(f"""
WITH names AS MATERIALIZED (SELECT CAST(:queue AS text) AS queue WHERE {_IS_KNOWN}),
running AS MATERIALIZED ({_RUNNING.format("AND leased.queue = :queue")}),
served AS MATERIALIZED ({_SERVED.format("AND queue = :queue")})
{_FACTS}
""")


async def list_queues(engine: sqlalchemy_asyncio.AsyncEngine, *, after: str, limit: int) -> list[queue.Queue]:
    """Returns up to `limit` queues after that name, by name.

    They have waiting or running tasks, are limited, or are served by a live worker.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            found = await connection.execute(_LIST, {"after": after, "limit": limit})
            return [_read(row) for row in found]


async def names(engine: sqlalchemy_asyncio.AsyncEngine, *, limit: int) -> list[str]:
    """Returns the names of the first queues that `list_queues` would list."""
    with database.unavailable():
        async with engine.connect() as connection:
            return list((await connection.execute(_NAMES, {"after": "", "limit": limit})).scalars())


async def exists(connection: sqlalchemy_asyncio.AsyncConnection, name: str) -> bool:
    """Returns whether `list_queues` would list that queue."""
    return bool((await connection.execute(_EXISTS, {"queue": name})).scalar_one())


async def may_change(connection: sqlalchemy_asyncio.AsyncConnection, name: str) -> bool:
    """Returns whether `list_queues` would list that queue, or its log has a change."""
    return bool((await connection.execute(_MAY_CHANGE, {"queue": name})).scalar_one())


async def find(engine: sqlalchemy_asyncio.AsyncEngine, name: str) -> queue.Queue | None:
    """Returns that queue; None if `list_queues` would not list it."""
    with database.unavailable():
        async with engine.connect() as connection:
            row = (await connection.execute(_GET, {"queue": name})).one_or_none()
            return None if row is None else _read(row)


async def get(engine: sqlalchemy_asyncio.AsyncEngine, name: str) -> queue.Queue:
    """Returns that queue; raises QueueNotFound if `list_queues` would not list it."""
    found = await find(engine, name)
    if found is None:
        raise errors.QueueNotFound.of(name)
    return found


def _read(row: sa.Row[Any]) -> queue.Queue:
    limits = queue.QueueLimits(
        row.is_paused, row.max_running, row.max_per_second, row.max_running_per_key, row.max_per_second_per_key
    )
    return queue.Queue(
        row.queue,
        limits,
        min(row.depth, queue.MAX_DEPTH),
        row.depth > queue.MAX_DEPTH,
        row.oldest_due,
        row.running,
        row.rate,
        row.workers,
    )
