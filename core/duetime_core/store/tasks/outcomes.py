"""Recording the outcomes of runs, and the starts of those that continue: for many tasks at once."""

import dataclasses
import datetime
import json
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import confirmation, database, direct
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
    lease_id: int | None
    result: str | None = None  # JSON text
    error_message: str | None = None
    backoff: datetime.timedelta | None = None  # until the retry, for retry_scheduled
    is_start_logged: bool = False  # by `log_starts`, unless a failover lost that


@dataclasses.dataclass(slots=True)
class Recorded:
    """The tasks whose outcomes were recorded."""

    ended: list[int]
    pending: list[task.Changed]
    """Those that run again."""

    @property
    def task_ids(self) -> list[int]:
        """The ids of all of them."""
        return [*self.ended, *(each.task_id for each in self.pending)]

    def __len__(self) -> int:
        return len(self.ended) + len(self.pending)


_MOVED = ", ".join(f"tasks.{column}" for column in columns.KEPT if column not in {"version", "lost_leases"})
_LOGGED = "change, started_at, :worker_id AS started_by, started_due, started_retries, duration"
_FINISHED = (
    "task_id, version, status, queue, name, execution_time, retry_count, new_error, namespace_id, "
    "change, started_at, started_by, started_due, started_retries, duration"
)
_GIVEN = {
    "task_id": "bigint",
    "claimed_version": "int",
    "status": "text",
    "change": "text",
    "microseconds": "bigint",
    "claim": "int",  # the number of its claim in those of the batch
    "result": "text",
    "error_message": "text",
    "backoff": "interval",
}
"""What `record` is given of each outcome, as an array of each: JSON costs both sides more."""
_MICROSECOND = datetime.timedelta(microseconds=1)


# Locked tasks are passed over: a batch is never as slow as its most blocked row. A task of another version is fenced
# out, because each way out of a lease raises the version. After a failover that lost the claim, the version may be that
# of another claim: so the lease must still be the one of this claim.
def _record(*, is_start_new: bool) -> sa.TextClause:
    """Returns the statement that records outcomes with their starts, of which some may be logged unless all are new.

    Whether they are is looked up: after a failover, the log may have lost them.
    """
    return sa.text(f"""
WITH own AS MATERIALIZED (
    SELECT number, started_at
    FROM unnest(CAST(:lease_id AS bigint[]), CAST(:started_at AS timestamptz[]))
        WITH ORDINALITY AS claim (lease_id, started_at, number)
    WHERE EXISTS (
        SELECT FROM leases WHERE leases.lease_id = claim.lease_id AND leases.started_at = claim.started_at
            AND worker_id = :worker_id OFFSET 0
    )
), held AS MATERIALIZED (
    SELECT given.*, locked.* FROM (
        SELECT given.*, own.started_at, given.microseconds * interval '1 microsecond' AS duration
        FROM unnest({", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _GIVEN.items())})
            AS given ({", ".join(_GIVEN)}) JOIN own ON own.number = given.claim
        ORDER BY task_id
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
    INSERT INTO waiting (task_id, queue, ready_at, version, level, lost_leases, concurrency_key, schedule_id,
        namespace_id)
    SELECT task_id, queue, greatest(execution_time, clock_timestamp()), version,
        CASE change WHEN 'released' THEN {columns.RETURNED_LEVEL} ELSE {columns.QUEUE_LEVEL} END, lost_leases,
        concurrency_key, schedule_id, namespace_id
    FROM returned
), finished AS NOT MATERIALIZED (
    SELECT {_FINISHED} FROM gone
    UNION ALL
    SELECT {_FINISHED} FROM returned
), {
        columns.write_log(
            "finished",
            change="change",
            status="status",
            actor=":worker_id",
            error="new_error",
            duration="duration",
            started="true",
            is_start_new=is_start_new,
        )
    }, ended_leases AS (
    -- Those of whose tasks none is held still, whatever the worker believes.
    DELETE FROM leases WHERE lease_id = ANY(ARRAY(
        SELECT lease_id FROM leases WHERE lease_id = ANY(CAST(:lease_ids AS bigint[])) FOR UPDATE SKIP LOCKED
    )) AND NOT EXISTS (
        SELECT FROM unnest(task_ids, versions) AS claimed (task_id, version)
        CROSS JOIN LATERAL (
            SELECT FROM tasks WHERE tasks.task_id = claimed.task_id AND tasks.version = claimed.version OFFSET 0
        ) AS live
        WHERE claimed.task_id NOT IN (SELECT task_id FROM held)
    )
)
SELECT {columns.CHANGED}, NULL AS ended FROM returned
UNION ALL
-- One array costs both sides less than thousands of rows a second.
SELECT NULL, NULL, NULL, NULL, NULL, NULL, array_agg(task_id) FROM gone
""")


_RECORD, _RECORD_LOGGED = _record(is_start_new=True), _record(is_start_new=False)
# Of those that were not recorded: which are still held, by this claim, and were locked. One that waits is not: its
# claim was lost in a failover.
_HELD = sa.text("""
SELECT given.task_id
FROM unnest(
    CAST(:task_ids AS bigint[]), CAST(:versions AS int[]), CAST(:lease_ids AS bigint[]), CAST(:starts AS timestamptz[])
) AS given (task_id, version, lease_id, started_at)
CROSS JOIN LATERAL (
    SELECT FROM tasks WHERE tasks.task_id = given.task_id AND tasks.version = given.version - 1 OFFSET 0
) AS held
WHERE NOT EXISTS (SELECT FROM waiting WHERE waiting.task_id = given.task_id OFFSET 0)
    AND EXISTS (
        SELECT FROM leases WHERE leases.lease_id = given.lease_id AND leases.started_at = given.started_at
            AND leases.worker_id = :worker_id OFFSET 0
    )
""")

_LOG_STARTS = sa.text(
    columns.log_starts("""json_to_recordset(CAST(:starts AS json)) AS given (
        task_id bigint, version int, started_at timestamptz, execution_time timestamptz, retry_count int, queue text,
        name text, lease_id bigint, namespace_id int
    ) WHERE EXISTS (
        -- It is not there if the claim was lost in a failover, or others ended the run, and logged its start.
        SELECT FROM leases WHERE leases.lease_id = given.lease_id AND leases.worker_id = :worker_id
            AND leases.started_at = given.started_at OFFSET 0
    )""")
)


def started_at(claimed: task.Task) -> datetime.datetime:
    """Returns when a claimed task started."""
    assert claimed.executed_at is not None
    return claimed.executed_at


async def log_starts(engine: sqlalchemy_asyncio.AsyncEngine, claimed: Sequence[task.Task], *, worker_id: str) -> None:
    """Logs that those claimed tasks started, unless that is logged already, or their leases are over."""
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
                "lease_id": each.lease_id,
                "namespace_id": each.namespace_id,
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
) -> Recorded:
    """Records those outcomes in one commit, and deletes those leases of which no task is held any more.

    An outcome missing from the result was passed over, if the task is still `held`, because another session has locked
    its row. Otherwise it was fenced out: the task was cancelled, or its lease was lost. Recording is idempotent:
    recording the same outcome again has no effect.
    """
    parameters = {**_encode(outcomes), "worker_id": worker_id, "lease_ids": encoding.array(lease_ids)}
    with database.unavailable():
        statement = _RECORD_LOGGED if any(outcome.is_start_logged for outcome in outcomes) else _RECORD
        rows = await direct.execute(engine, statement, parameters)
    (ended,) = (row[-1] or [] for row in rows if row[0] is None)
    return Recorded(ended, [columns.read_changed(row) for row in rows if row[0] is not None])


async def held(engine: sqlalchemy_asyncio.AsyncEngine, outcomes: Collection[Outcome], *, worker_id: str) -> set[int]:
    """Returns the tasks of those outcomes that the worker still holds by the same claims; it waits for no lock.

    It returns once the ends of the others are durable: after a failover that lost one, its outcome would be needed.
    """
    if not outcomes:
        return set()
    parameters = {
        "task_ids": [outcome.task_id for outcome in outcomes],
        "versions": [outcome.version for outcome in outcomes],
        "lease_ids": [outcome.lease_id for outcome in outcomes],
        "starts": [outcome.started_at for outcome in outcomes],
        "worker_id": worker_id,
    }
    with database.unavailable():
        async with engine.connect() as connection:
            found = set((await connection.execute(_HELD, parameters)).scalars())
            if len(found) < len(outcomes):
                await confirmation.write(connection)
            return found


def _encode(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Returns the arrays of `_GIVEN`. Of nearly all outcomes, the last three are NULL: then these are empty."""
    claims: dict[tuple[int | None, datetime.datetime], int] = {}
    numbers = [claims.setdefault((outcome.lease_id, outcome.started_at), len(claims) + 1) for outcome in outcomes]
    return {
        "task_id": encoding.array(outcome.task_id for outcome in outcomes),
        "claimed_version": encoding.array(outcome.version for outcome in outcomes),
        "status": encoding.array(task.MOVES[outcome.change].target for outcome in outcomes),
        "change": encoding.array(outcome.change for outcome in outcomes),
        "lease_id": encoding.array(lease_id for lease_id, _ in claims),
        "started_at": encoding.array(started_at.isoformat() for _, started_at in claims),
        "microseconds": encoding.array(outcome.duration // _MICROSECOND for outcome in outcomes),
        "claim": encoding.array(numbers),
        "result": encoding.texts([outcome.result for outcome in outcomes]),
        "error_message": encoding.texts([outcome.error_message for outcome in outcomes]),
        "backoff": encoding.texts(
            [None if outcome.backoff is None else encoding.interval(outcome.backoff) for outcome in outcomes]
        ),
    }
