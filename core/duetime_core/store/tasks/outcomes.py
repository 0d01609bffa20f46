"""Recording the outcomes of runs, and extending the leases of running tasks: both for many tasks at once."""

import dataclasses
import datetime
import json
from collections.abc import Collection, Sequence
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
    started_at: datetime.datetime
    result: str | None = None  # JSON text
    error_message: str | None = None
    backoff: datetime.timedelta | None = None  # until the retry, for retry_scheduled
    is_start_logged: bool = False  # by `log_starts`


_MOVED = ", ".join(f"tasks.{column}" for column in columns.KEPT if column not in {"version", "lost_leases"})
_LOGGED = "change, started_at, :worker_id AS started_by, started_due, started_retries, is_start_logged, duration"
# Locked tasks are passed over: a batch is never as slow as its most blocked row. A task of another version is fenced
# out, because each way out of a lease raises the version.
# One JSON parameter costs less to build than an array per column.
_RECORD = sa.text(f"""
WITH held AS MATERIALIZED (
    SELECT given.*, locked.* FROM (
        SELECT * FROM json_to_recordset(CAST(:outcomes AS json)) AS given (
            task_id bigint, claimed_version int, status text, change text, started_at timestamptz, result text,
            error_message text, backoff interval, duration interval, is_start_logged boolean
        ) ORDER BY task_id
    ) AS given CROSS JOIN LATERAL (
        SELECT execution_time AS started_due, retry_count AS started_retries FROM tasks
        WHERE tasks.task_id = given.task_id AND tasks.version = claimed_version - 1
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS locked
), gone AS (
    DELETE FROM tasks USING held WHERE tasks.task_id = held.task_id AND held.status <> 'pending'
    RETURNING {_MOVED}, tasks.version + 2 AS version, 0 AS lost_leases, held.status, held.result,
        held.error_message AS new_error, {_LOGGED}
), {columns.end("gone", status="status", assigned="started_at", error="new_error", result="result")}, returned AS (
    UPDATE tasks SET version = tasks.version + 2, updated_at = now(), executed_at = held.started_at,
        -- A release is no failure: the error of the run before is kept.
        error_message = CASE change WHEN 'released' THEN tasks.error_message ELSE held.error_message END,
        retry_count = retry_count + CASE change WHEN 'retry_scheduled' THEN 1 ELSE 0 END,
        lost_leases = CASE change WHEN 'released' THEN lost_leases ELSE 0 END,
        execution_time = CASE change WHEN 'retry_scheduled' THEN now() + held.backoff ELSE execution_time END
    FROM held WHERE tasks.task_id = held.task_id AND held.status = 'pending'
    RETURNING tasks.*, held.status, held.error_message AS new_error, {_LOGGED}
), waits AS (
    INSERT INTO waiting (task_id, queue, ready_at, version, level, lost_leases, concurrency_key, schedule_id)
    SELECT task_id, queue, greatest(execution_time, clock_timestamp()), version,
        CASE change WHEN 'released' THEN {columns.RETURNED_LEVEL} ELSE {columns.QUEUE_LEVEL} END, lost_leases,
        concurrency_key, schedule_id
    FROM returned
), finished AS (
    SELECT task_id, version, status, queue, name, execution_time, retry_count, new_error, {
    _LOGGED.replace(":worker_id AS ", "")
}
    FROM gone
    UNION ALL
    SELECT task_id, version, status, queue, name, execution_time, retry_count, new_error, {
    _LOGGED.replace(":worker_id AS ", "")
}
    FROM returned
), {
    columns.write_log(
        "finished",
        change="change",
        status="status",
        actor=":worker_id",
        error="new_error",
        duration="duration",
        started="NOT is_start_logged",
        is_start_new=True,
    )
}, ended_leases AS (
    -- Those of whose tasks none is held still, whatever the worker believes.
    DELETE FROM leases WHERE lease_id = ANY(CAST(:lease_ids AS bigint[])) AND NOT EXISTS (
        SELECT FROM unnest(task_ids, versions) AS claimed (task_id, version)
        CROSS JOIN LATERAL (
            SELECT FROM tasks WHERE tasks.task_id = claimed.task_id AND tasks.version = claimed.version OFFSET 0
        ) AS live
        WHERE claimed.task_id NOT IN (SELECT task_id FROM held)
    )
)
SELECT {columns.CHANGED} FROM finished
""")
# Of those that were not recorded: which are still held, by this version, and were locked.
_HELD = sa.text("""
SELECT given.task_id FROM unnest(CAST(:task_ids AS bigint[]), CAST(:versions AS int[])) AS given (task_id, version)
CROSS JOIN LATERAL (
    SELECT FROM tasks WHERE tasks.task_id = given.task_id AND tasks.version = given.version - 1 OFFSET 0
) AS held
""")

# Where fewer than half of a lease's tasks run, the others leave it: what reads leases reads all of their tasks.
_EXTEND = sa.text("""
WITH held AS MATERIALIZED (
    SELECT lease_id, live.* FROM leases CROSS JOIN LATERAL (
        SELECT array_agg(task_id) AS live_ids, array_agg(version) AS live_versions
        FROM unnest(task_ids, versions) AS claimed (task_id, version)
        WHERE EXISTS (
            SELECT FROM tasks WHERE tasks.task_id = claimed.task_id AND tasks.version = claimed.version OFFSET 0
        )
    ) AS live
    WHERE lease_id = ANY(CAST(:lease_ids AS bigint[])) AND worker_id = :worker_id
    ORDER BY lease_id
    FOR UPDATE OF leases SKIP LOCKED
), extended AS (
    UPDATE leases SET expires_at = clock_timestamp() + CAST(:lease AS interval),
        task_ids = CASE WHEN 2 * cardinality(live_ids) < cardinality(task_ids) THEN live_ids ELSE task_ids END,
        versions = CASE WHEN 2 * cardinality(live_ids) < cardinality(task_ids) THEN live_versions ELSE versions END
    FROM held WHERE leases.lease_id = held.lease_id
    RETURNING leases.lease_id, live_ids
)
SELECT lease_id, coalesce(live_ids, '{}') AS task_ids FROM extended
""")
_STILL_THERE = sa.text("""
SELECT lease_id FROM leases WHERE lease_id = ANY(CAST(:lease_ids AS bigint[])) AND worker_id = :worker_id
""")
_LOG_STARTS = sa.text(
    columns.log_starts("""json_to_recordset(CAST(:starts AS json)) AS given (
        task_id bigint, version int, started_at timestamptz, execution_time timestamptz, retry_count int, queue text,
        name text
    )""")
)


def started_at(claimed: task.Task) -> datetime.datetime:
    """Returns when a claimed task started."""
    assert claimed.executed_at is not None
    return claimed.executed_at


async def log_starts(engine: sqlalchemy_asyncio.AsyncEngine, claimed: Sequence[task.Task], *, worker_id: str) -> None:
    """Logs that those claimed tasks started, unless that is logged already."""
    encoded = json.dumps(
        [
            {
                "task_id": each.task_id,
                "version": each.version,
                "started_at": started_at(each).isoformat(),
                "execution_time": each.execution_time.isoformat(),
                "retry_count": each.retry_count,
                "queue": each.queue,
                "name": each.name,
            }
            for each in claimed
        ],
        ensure_ascii=False,
    )
    with database.unavailable():
        async with engine.connect() as connection:
            await connection.execute(_LOG_STARTS, {"starts": encoded, "worker_id": worker_id})


async def record(
    engine: sqlalchemy_asyncio.AsyncEngine,
    outcomes: Sequence[Outcome],
    *,
    worker_id: str,
    lease_ids: Collection[int] = (),
) -> list[task.Changed]:
    """Records those outcomes in one commit, and deletes those leases of which no task is held any more.

    An outcome missing from the result was passed over, if the task is still `held`, because another session has locked
    its row. Otherwise it was fenced out: the task was cancelled, or its lease was lost. Recording is idempotent:
    recording the same outcome again has no effect.
    """
    encoded = json.dumps([_encode(outcome) for outcome in outcomes], ensure_ascii=False)
    parameters = {"outcomes": encoded, "worker_id": worker_id, "lease_ids": list(lease_ids)}
    with database.unavailable():
        async with engine.connect() as connection:
            return [columns.read_changed(row) for row in await connection.execute(_RECORD, parameters)]


async def held(engine: sqlalchemy_asyncio.AsyncEngine, versions: dict[int, int]) -> set[int]:
    """Returns those of the tasks (task_id → claimed version) that nobody ended; it waits for no lock."""
    if not versions:
        return set()
    parameters = {"task_ids": list(versions), "versions": list(versions.values())}
    with database.unavailable():
        async with engine.connect() as connection:
            return set((await connection.execute(_HELD, parameters)).scalars())


async def extend(
    engine: sqlalchemy_asyncio.AsyncEngine, lease_ids: Collection[int], *, worker_id: str, lease: datetime.timedelta
) -> tuple[dict[int, list[int]], set[int]]:
    """Extends those leases of the worker; returns the tasks of each that it still holds, and the leases passed over.

    These are still the worker's, but another session has locked their rows. The others are lost.
    """
    parameters = {"worker_id": worker_id, "lease_ids": list(lease_ids), "lease": lease}
    with database.unavailable():
        async with engine.connect() as connection:
            extended = {row.lease_id: row.task_ids for row in await connection.execute(_EXTEND, parameters)}
            missing = [lease_id for lease_id in lease_ids if lease_id not in extended]
            locked: set[int] = set()
            if missing:
                looked_up = {"worker_id": worker_id, "lease_ids": missing}
                locked = set((await connection.execute(_STILL_THERE, looked_up)).scalars())
            return extended, locked


def _encode(outcome: Outcome) -> dict[str, Any]:
    encoded = {
        "task_id": outcome.task_id,
        "claimed_version": outcome.version,
        "status": task.MOVES[outcome.change].target,
        "change": outcome.change,
        "duration": encoding.interval(outcome.duration),
        "started_at": outcome.started_at.isoformat(),
        "is_start_logged": outcome.is_start_logged,
    }
    # A missing field is NULL, as most are.
    if outcome.result is not None:
        encoded["result"] = outcome.result
    if outcome.error_message is not None:
        encoded["error_message"] = outcome.error_message
    if outcome.backoff is not None:
        encoded["backoff"] = encoding.interval(outcome.backoff)
    return encoded
