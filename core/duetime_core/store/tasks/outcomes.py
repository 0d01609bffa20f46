"""Recording the outcomes of runs, and extending the leases of running tasks: both for many tasks at once."""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store import encoding
from duetime_core.store.tasks import columns


# Not frozen, for the same reason as `task.Task`.
@dataclasses.dataclass(slots=True)
class Outcome:
    """The outcome of one run. `version` is that of the claim: the fencing token of the outcome."""

    task_id: int
    version: int
    change: task.Change
    duration: datetime.timedelta
    result: str | None = None  # JSON text
    error_message: str | None = None
    backoff: datetime.timedelta | None = None  # until the retry, for retry_scheduled


_LOCKED = """CROSS JOIN LATERAL (
        SELECT FROM tasks
        WHERE tasks.task_id = given.task_id AND tasks.version = claimed_version AND worker_id = :worker_id
        FOR NO KEY UPDATE {wait}
    ) AS locked"""
"""Locks the tasks of `given` that this worker still holds. Rows that another session has locked are passed over: a
batch must not be as slow as its most blocked row. `held` returns which of the missing ones were.

Each task is looked up by its id. A subquery that locks is not turned into a join, and it has no condition on status,
because PostgreSQL would read the index of running tasks instead: empty according to its statistics, but full of dead
entries of tasks that ran. A task that still has the version of its claim is running: every change raises the version.
"""
_SKIP_LOCKED = _LOCKED.format(wait="SKIP LOCKED")
_WAIT = _LOCKED.format(wait="")

# One JSON parameter costs less to build than an array per column.
_RECORD = sa.text(f"""
WITH held AS MATERIALIZED (
    SELECT given.* FROM (
        SELECT * FROM json_to_recordset(CAST(:outcomes AS json)) AS given (
            task_id bigint, claimed_version int, status text, change text, result text, error_message text,
            backoff interval, duration interval
        )
    ) AS given {_SKIP_LOCKED}
), finished AS (
    UPDATE tasks SET status = held.status, version = version + 1, updated_at = now(),
        worker_id = NULL, lease_expires_at = NULL,
        result = CAST(held.result AS jsonb),
        -- A release is no failure: the error of the run before is kept.
        error_message = CASE held.change WHEN 'released' THEN tasks.error_message ELSE held.error_message END,
        retry_count = retry_count + CASE held.change WHEN 'retry_scheduled' THEN 1 ELSE 0 END,
        lost_leases = CASE held.change WHEN 'released' THEN lost_leases ELSE 0 END,
        execution_time = CASE held.change WHEN 'retry_scheduled' THEN now() + held.backoff ELSE execution_time END
    FROM held WHERE tasks.task_id = held.task_id
    RETURNING tasks.task_id, version, tasks.status, execution_time, retry_count, queue, name,
        held.change, held.error_message, held.duration
), {columns.write_log("finished", change="change", actor=":worker_id", error="error_message", duration="duration")}
SELECT {columns.CHANGED} FROM finished
""")

_GIVEN = "unnest(CAST(:task_ids AS bigint[]), CAST(:versions AS int[])) AS given (task_id, claimed_version)"
_EXTENSION = """
WITH held AS MATERIALIZED (SELECT given.task_id FROM {given} {locked})
UPDATE tasks SET lease_expires_at = now() + CAST(:lease AS interval)
WHERE task_id = ANY(ARRAY(SELECT task_id FROM held))
RETURNING task_id
"""
_EXTEND = sa.text(_EXTENSION.format(given=_GIVEN, locked=_SKIP_LOCKED))
# `now()` may be long before the lock is granted.
_EXTEND_ONE = sa.text(_EXTENSION.format(given=_GIVEN, locked=_WAIT).replace("now()", "clock_timestamp()"))
_HELD = sa.text(f"""
SELECT given.task_id FROM {_GIVEN} CROSS JOIN LATERAL (
    SELECT FROM tasks
    WHERE tasks.task_id = given.task_id AND tasks.version = claimed_version AND worker_id = :worker_id
    OFFSET 0
) AS held
""")


async def record(
    engine: sqlalchemy_asyncio.AsyncEngine, outcomes: Sequence[Outcome], *, worker_id: str
) -> list[task.Changed]:
    """Records those outcomes in one commit and returns the recorded ones.

    An outcome missing from the result was passed over, if the task is still `held`, because another session has locked
    its row. Otherwise it was fenced out: the task was cancelled, or its lease was lost. Recording is idempotent:
    recording the same outcome again has no effect.
    """
    encoded = json.dumps([_encode(outcome) for outcome in outcomes], ensure_ascii=False)
    with database.unavailable():
        async with engine.connect() as connection:
            finished = await connection.execute(_RECORD, {"outcomes": encoded, "worker_id": worker_id})
            return [columns.read_changed(row) for row in finished]


async def extend(
    engine: sqlalchemy_asyncio.AsyncEngine,
    versions: dict[int, int],
    *,
    worker_id: str,
    lease: datetime.timedelta,
) -> set[int]:
    """Extends the leases of those running tasks (task_id → version) and returns the ids of those that it extended.

    One that is missing was passed over, if it is still `held`, because another session has locked its row.
    """
    return await _ids(engine, _EXTEND, versions, worker_id=worker_id, lease=lease)


async def extend_one(
    engine: sqlalchemy_asyncio.AsyncEngine,
    task_id: int,
    version: int,
    *,
    worker_id: str,
    lease: datetime.timedelta,
) -> bool:
    """Extends the lease of one running task, once its row is unlocked; returns whether the worker still held it."""
    return bool(await _ids(engine, _EXTEND_ONE, {task_id: version}, worker_id=worker_id, lease=lease))


async def held(engine: sqlalchemy_asyncio.AsyncEngine, versions: dict[int, int], *, worker_id: str) -> set[int]:
    """Returns the ids of those running tasks (task_id → version) that the worker still holds; waits for no lock."""
    return await _ids(engine, _HELD, versions, worker_id=worker_id)


async def _ids(
    engine: sqlalchemy_asyncio.AsyncEngine, statement: sa.TextClause, versions: dict[int, int], **parameters: Any
) -> set[int]:
    given = {"task_ids": list(versions.keys()), "versions": list(versions.values()), **parameters}
    with database.unavailable():
        async with engine.connect() as connection:
            return {row[0] for row in await connection.execute(statement, given)}


def _encode(outcome: Outcome) -> dict[str, Any]:
    encoded = {
        "task_id": outcome.task_id,
        "claimed_version": outcome.version,
        "status": task.MOVES[outcome.change].target,
        "change": outcome.change,
        "duration": encoding.interval(outcome.duration),
    }
    # A missing field is NULL, as most are.
    if outcome.result is not None:
        encoded["result"] = outcome.result
    if outcome.error_message is not None:
        encoded["error_message"] = outcome.error_message
    if outcome.backoff is not None:
        encoded["backoff"] = encoding.interval(outcome.backoff)
    return encoded
