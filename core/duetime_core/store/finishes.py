"""Recording how runs ended, and keeping the leases of those that go on: both for many tasks at once."""

import dataclasses
import datetime
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import database, task
from duetime_core.store import rows


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended. `version` is the one that the claim gave, and fences the outcome."""

    task_id: int
    version: int
    change: task.Change
    duration: datetime.timedelta
    result: str | None = None  # JSON text
    error_message: str | None = None
    backoff: datetime.timedelta | None = None  # until the retry, for retry_scheduled


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """An outcome that was recorded. `execution_time` is the next one where the task is pending again."""

    task_id: int
    queue: str
    status: task.Status
    execution_time: datetime.datetime
    now: datetime.datetime


_ORDERED_LOCK = """
    SELECT tasks.task_id, tasks.version FROM tasks
    JOIN unnest(CAST(:task_ids AS bigint[]), CAST(:versions AS int[])) AS given (task_id, version)
        ON tasks.task_id = given.task_id AND tasks.version = given.version
    WHERE status = 'running' AND worker_id = :worker_id
    ORDER BY tasks.task_id
    FOR UPDATE OF tasks"""
"""Finishes and lease extensions of one worker overlap; taking the row locks in one order keeps them from a deadlock."""

_FINISH = sa.text(f"""
WITH held AS MATERIALIZED ({_ORDERED_LOCK}
), input AS MATERIALIZED (
    SELECT * FROM unnest(
        CAST(:task_ids AS bigint[]), CAST(:versions AS int[]), CAST(:statuses AS text[]), CAST(:changes AS text[]),
        CAST(:results AS text[]), CAST(:error_messages AS text[]), CAST(:backoffs AS interval[]),
        CAST(:durations AS interval[])
    ) AS given (task_id, claimed_version, status, change, result, error_message, backoff, duration)
    WHERE (task_id, claimed_version) IN (SELECT task_id, version FROM held)
), finished AS (
    UPDATE tasks SET status = input.status, version = version + 1, updated_at = now(),
        worker_id = NULL, lease_expires_at = NULL,
        result = CAST(input.result AS jsonb),
        -- Handing back is no failure: what the run before it left still stands.
        error_message = CASE input.change WHEN 'handed_back' THEN tasks.error_message ELSE input.error_message END,
        retry_count = retry_count + CASE input.change WHEN 'retry_scheduled' THEN 1 ELSE 0 END,
        lost_leases = CASE input.change WHEN 'handed_back' THEN lost_leases ELSE 0 END,
        execution_time = CASE input.change WHEN 'retry_scheduled' THEN now() + input.backoff ELSE execution_time END
    FROM input WHERE tasks.task_id = input.task_id
    RETURNING tasks.task_id, version, tasks.status, execution_time, retry_count, queue,
        input.change, input.error_message, input.duration
), {rows.write_log("finished", change="change", actor=":worker_id", error="error_message", duration="duration")}
SELECT task_id, queue, status, execution_time, now() FROM finished
""")

_EXTEND = sa.text(f"""
WITH held AS MATERIALIZED ({_ORDERED_LOCK}
)
UPDATE tasks SET lease_expires_at = now() + CAST(:lease AS interval)
WHERE task_id = ANY(ARRAY(SELECT task_id FROM held))
RETURNING task_id
""")


async def finish(
    engine: sqlalchemy_asyncio.AsyncEngine, outcomes: Sequence[Outcome], *, worker_id: str
) -> list[Finished]:
    """Records those outcomes in one commit and returns the recorded ones.

    An outcome that is missing in the answer was fenced out: the task was cancelled, or its lease was lost
    and it is somebody else's now. Recording the same outcome twice does nothing the second time.
    """
    parameters = {
        "worker_id": worker_id,
        "task_ids": [outcome.task_id for outcome in outcomes],
        "versions": [outcome.version for outcome in outcomes],
        "statuses": [task.MOVES[outcome.change].target for outcome in outcomes],
        "changes": [outcome.change for outcome in outcomes],
        "results": [outcome.result for outcome in outcomes],
        "error_messages": [outcome.error_message for outcome in outcomes],
        "backoffs": [outcome.backoff for outcome in outcomes],
        "durations": [outcome.duration for outcome in outcomes],
    }
    with database.unavailable():
        async with engine.connect() as connection:
            finished = await connection.execute(_FINISH, parameters)
            return [Finished(row[0], row[1], task.Status(row[2]), row[3], row[4]) for row in finished]


async def extend(
    engine: sqlalchemy_asyncio.AsyncEngine,
    versions: dict[int, int],
    *,
    worker_id: str,
    lease: datetime.timedelta,
) -> set[int]:
    """Extends the leases of those running tasks (task_id → version) and returns the ids that are still held."""
    parameters = {
        "worker_id": worker_id,
        "task_ids": list(versions.keys()),
        "versions": list(versions.values()),
        "lease": lease,
    }
    with database.unavailable():
        async with engine.connect() as connection:
            return {row[0] for row in await connection.execute(_EXTEND, parameters)}
