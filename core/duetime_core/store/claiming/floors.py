"""Where claims of a queue have arrived, as workers note it for others, and what is left before it.

New workers and counts of waiting tasks begin to read there: see `bounds`.
"""

import contextlib
import datetime
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import database, namespaced, schema
from duetime_core.store import leftovers
from duetime_core.store.claiming import bounds

BATCH = 10_000
"""How many rows one statement stamps anew."""

_READ = namespaced.text("""
SELECT clock_timestamp() AS now, (
    SELECT times FROM claim_floors WHERE namespace_id = :namespace_id AND queue = :queue
) AS times
""")
_RAISE = """ON CONFLICT (namespace_id, queue) DO UPDATE SET times = ARRAY(
    -- Not lower than others have noted, unless the clock was set back since.
    SELECT CASE WHEN before > clock_timestamp() THEN after ELSE greatest(before, after) END
    FROM unnest(claim_floors.times, excluded.times) WITH ORDINALITY AS of_level (before, after, level) ORDER BY level
)
"""
_NOTE = namespaced.text(f"""
INSERT INTO claim_floors (namespace_id, queue, times)
VALUES (:namespace_id, :queue, CAST(:times AS timestamptz[])) {_RAISE}
""")
_QUEUE = "waiting.namespace_id = :namespace_id AND waiting.queue = :queue"
_FROM_FLOOR = "AND ready_at >= floor.at[levels.number + 1] ORDER BY ready_at, task_id LIMIT 1"
# Claims within limits per key leave tasks behind: the first of each level is looked for from the last floor on.
_NOTE_FIRST = namespaced.text(f"""
INSERT INTO claim_floors (namespace_id, queue, times)
SELECT :namespace_id, :queue, ARRAY(
    SELECT least(clock_timestamp() - interval '1 minute', CASE levels.number
        WHEN 0 THEN (SELECT ready_at FROM waiting WHERE {_QUEUE} AND {schema.ORDINARY} {_FROM_FLOOR})
        ELSE (
            SELECT ready_at FROM waiting
            WHERE {_QUEUE} AND {schema.URGENT} AND level = levels.number {_FROM_FLOOR}
        )
    END) FROM generate_series(0, {schema.MAX_LEVEL}) AS levels (number) ORDER BY levels.number
) FROM (SELECT CAST(:times AS timestamptz[])) AS floor (at)
{_RAISE}
RETURNING times
""")
_LIMIT_TIME = sa.text(f"SET LOCAL statement_timeout = '{leftovers.Left.SLOWEST} s'")
# Claims look at what became due in the last ten seconds themselves.
_BETWEEN = """ready_at > CAST(:since AS timestamptz)
    AND ready_at < least(CAST(:before AS timestamptz), statement_timestamp() - interval '10 seconds')"""
_ORDER = f"ORDER BY ready_at, task_id LIMIT {BATCH} FOR UPDATE SKIP LOCKED"
_LEVELS = f"generate_series(1, {schema.MAX_LEVEL}) AS levels (number)"
_BOUND = "(CAST(:times AS timestamptz[]))"
# What comes late is claimed before ordinary tasks, as what returned is.
_STAMP_LEFT = namespaced.text(f"""
UPDATE waiting SET ready_at = clock_timestamp(), level = greatest(level, {schema.RETURNED})
WHERE waiting.namespace_id = :namespace_id AND task_id = ANY(ARRAY(
    SELECT task_id FROM (
        SELECT task_id FROM waiting WHERE {_QUEUE} AND {schema.ORDINARY} AND {_BETWEEN} AND ready_at < {_BOUND}[1]
        {_ORDER}
    ) AS ordinary UNION ALL SELECT urgent.task_id FROM {_LEVELS} CROSS JOIN LATERAL (
        SELECT task_id FROM waiting WHERE {_QUEUE} AND {schema.URGENT} AND level = levels.number AND {_BETWEEN}
            AND ready_at < {_BOUND}[levels.number + 1]
        {_ORDER}
    ) AS urgent
))
""")


def _stamp_ahead(condition: str) -> sa.TextClause:
    """Returns the statement that stamps a page of rows of one index anew that were stamped by a clock ahead."""
    return namespaced.text(f"""
    WITH page AS MATERIALIZED (
        SELECT task_id, ready_at FROM waiting WHERE {_QUEUE} AND {condition}
            AND (ready_at, task_id) > (CAST(:since AS timestamptz), :since_id) AND ready_at <= :upto
        ORDER BY ready_at, task_id LIMIT {BATCH}
    ), wrong AS MATERIALIZED (
        SELECT page.task_id, tasks.execution_time FROM page CROSS JOIN LATERAL (
            SELECT execution_time FROM tasks
            WHERE tasks.task_id = page.task_id AND tasks.namespace_id = :namespace_id
                AND execution_time < page.ready_at
        ) AS tasks
    ), locked AS MATERIALIZED (
        SELECT task_id FROM waiting
        WHERE waiting.namespace_id = :namespace_id AND task_id = ANY(ARRAY(SELECT task_id FROM wrong))
        FOR UPDATE SKIP LOCKED
    ), stamped AS (
        UPDATE waiting SET ready_at = greatest(wrong.execution_time, clock_timestamp())
        FROM wrong WHERE waiting.namespace_id = :namespace_id AND waiting.task_id = wrong.task_id
            AND waiting.task_id = ANY(ARRAY(SELECT task_id FROM locked))
    )
    SELECT ready_at, task_id FROM page ORDER BY ready_at DESC, task_id DESC LIMIT 1
    """)


_STAMP_AHEAD = [
    _stamp_ahead(condition)
    for condition in (
        schema.ORDINARY,
        *(f"{schema.URGENT} AND level = {level}" for level in range(1, schema.MAX_LEVEL + 1)),
        schema.QUARANTINED,
        "is_next",
    )
]


async def begin(engine: sqlalchemy_asyncio.AsyncEngine, queue: str, since: bounds.Bounds) -> None:
    """Has bounds that know nothing begin where other workers have arrived."""
    with database.unavailable():
        async with engine.connect() as connection:
            now, times = (await connection.execute(_READ, {"queue": queue})).one()
    since.begin(times if times is not None and len(times) == schema.MAX_LEVEL + 1 else None, now)


async def note(engine: sqlalchemy_asyncio.AsyncEngine, queue: str, since: bounds.Bounds) -> None:
    """Notes the bounds for others, unless they were noted lately."""
    if since.of_keys is not None:
        await _note_first(engine, queue, since.of_keys)
    if (times := since.to_note()) is not None:
        with database.unavailable():
            async with engine.connect() as connection:
                await connection.execute(_NOTE, {"queue": queue, "times": times})


async def _note_first(engine: sqlalchemy_asyncio.AsyncEngine, queue: str, of_keys: bounds.KeyedBounds) -> None:
    if of_keys.is_to_note():
        with contextlib.suppress(errors.StoreUnavailable), database.unavailable():
            async with database.transaction(engine) as connection:
                await connection.execute(_LIMIT_TIME)
                of_keys.floor = await connection.scalar(_NOTE_FIRST, {"queue": queue, "times": of_keys.floor})


async def stamp_left(engine: sqlalchemy_asyncio.AsyncEngine, queue: str, since: bounds.Bounds) -> int:
    """Stamps tasks anew that are left before the bounds, in the slice whose turn it is; returns how many.

    They are those whose creation was committed long after it began, or which were locked when claims passed.
    """
    left = since.left
    if since.is_new or not left.is_due:
        return 0
    times = since.times if since.of_keys is None else since.of_keys.floor
    first, before = left.slice(max(times))
    parameters: dict[str, Any] = {"queue": queue, "times": times, "since": first, "before": before}
    began = time.monotonic()
    is_done = False
    try:
        with database.unavailable():
            async with database.transaction(engine) as connection:
                await connection.execute(_LIMIT_TIME)
                stamped = (await connection.execute(_STAMP_LEFT, parameters)).rowcount
                is_done = True
    except errors.StoreUnavailable:
        stamped = 0
    left.looked(first, began=began, is_done=is_done)
    return stamped


async def stamp_ahead(engine: sqlalchemy_asyncio.AsyncEngine, queue: str, since: bounds.Bounds) -> None:
    """Stamps tasks anew that were stamped by the database's clock before it was set back: they would wait for it."""
    if since.ahead is None:
        return
    upto = since.ahead + datetime.timedelta(minutes=2)  # what was written since the bounds were noted
    with database.unavailable():
        async with engine.connect() as connection:
            now, _ = (await connection.execute(_READ, {"queue": queue})).one()
            for statement in _STAMP_AHEAD:
                at, task_id = now, 0
                while True:
                    parameters = {"queue": queue, "since": at, "since_id": task_id, "upto": upto}
                    last = (await connection.execute(statement, parameters)).one_or_none()
                    if last is None:
                        break
                    at, task_id = last
    since.ahead = None
