"""The statements that claim: which tasks, in which order, and how the claim is written.

These are the parts; `store/statements.sql` has the statements that `fast` and `locked` build from them, whole.
"""

import sqlalchemy as sa

from duetime_core.model import task
from duetime_core.postgres import schema
from duetime_core.store.claiming import bounds
from duetime_core.store.tasks import columns as task_columns

NOW = "statement_timestamp()"
"""By when tasks are due. `now()` is from before the queue lock was granted, if the transaction waited for it."""

_ORDINARY = f"queue = :queue AND {schema.ORDINARY}"
_URGENT = f"queue = :queue AND {schema.URGENT} AND priority = level.number"
_SINCE, _SINCE_IDS = "(CAST(:since AS timestamptz[]))", "(CAST(:since_ids AS bigint[]))"
_ORDINARY_DUE = f"{_ORDINARY} AND {schema.DUE_AT} <= {NOW} AND {bounds.after(f'{_SINCE}[1]', f'{_SINCE_IDS}[1]')}"
_URGENT_SINCE = bounds.after(f"{_SINCE}[level.number + 1]", f"{_SINCE_IDS}[level.number + 1]")
_URGENT_DUE = f"{_URGENT} AND {schema.DUE_AT} <= {NOW} AND {_URGENT_SINCE}"
_LEVELS = f"generate_series({task.MAX_PRIORITY}, 1, -1) AS level (number)"

IS_LIMITED = "EXISTS (SELECT FROM queues WHERE name = :queue)"
IS_UNLIMITED = f"NOT {IS_LIMITED}"
"""Whether the queue is unlimited. Only then tasks may be claimed without locking its row."""

HAS_PRIORITIES = f"""EXISTS (
    SELECT FROM {_LEVELS} CROSS JOIN LATERAL (
        SELECT FROM tasks WHERE {_URGENT} AND {schema.DUE_AT} >= least({_SINCE}[level.number + 1], {bounds.HERE})
        LIMIT 1
    ) AS waiting
)"""
"""Whether tasks with a priority wait in the queue, due or not."""

# Without OFFSET, an index in the order of execution would look better for the minimum than the one with these tasks.
EARLY_AT = f"""(
    SELECT min(execution_time) FROM (
        SELECT execution_time FROM tasks WHERE queue = :queue AND {schema.EARLY}
            AND updated_at > least(CAST(:looked_at AS timestamptz), {NOW}) - CAST(:margin AS interval)
        OFFSET 0
    ) AS early
)"""
"""When the first task was due that came to wait since the last claim, when it was overdue already."""

HAS_OCCURRENCES = f"""EXISTS (
    SELECT FROM tasks WHERE queue = :queue AND is_next AND {schema.DUE_AT} <= {NOW}
)"""
"""Whether next occurrences of schedules are due in the queue: they start once their schedules have advanced."""

NEXT_ORDINARY_AT = f"""(
    SELECT execution_time FROM tasks WHERE {_ORDINARY} AND {schema.DUE_AT} > {NOW}
    ORDER BY {schema.DUE_AT}, task_id LIMIT 1
)"""
FIRST_OCCURRENCE_AT = f"""(
    SELECT execution_time FROM tasks WHERE queue = :queue AND is_next ORDER BY {schema.DUE_AT}, task_id LIMIT 1
)"""
"""When the first next occurrence of a schedule is, or was, due."""

NEXT_DUE_AT = f"""least({NEXT_ORDINARY_AT}, (
    SELECT min(execution_time) FROM {_LEVELS} CROSS JOIN LATERAL (
        SELECT execution_time FROM tasks WHERE {_URGENT} AND {schema.DUE_AT} > {NOW}
        ORDER BY {schema.DUE_AT}, task_id LIMIT 1
    ) AS next_at_level
), (
    SELECT execution_time FROM tasks WHERE queue = :queue AND is_next AND {schema.DUE_AT} > {NOW}
    ORDER BY {schema.DUE_AT}, task_id LIMIT 1
))"""


_LOCK = "FOR UPDATE SKIP LOCKED"


# The predicates of the partial indexes are written out: a generic plan cannot infer them from a parameter. `where` is
# empty or begins with AND.
def due_ordinary(*, columns: str = "task_id", where: str = "", lock: str = _LOCK) -> str:
    """Returns the statement that reads up to `limit` due tasks of `queue` without a priority, in order."""
    return f"""
        SELECT {columns} FROM tasks WHERE {_ORDINARY_DUE} {where}
        ORDER BY {schema.DUE_AT}, task_id
        LIMIT :limit
        {lock}
    """


def due(*, columns: str = "task_id", where: str = "", lock: str = _LOCK) -> str:
    """Returns the statement that reads up to `limit` due tasks of `queue`, by priority and then in order.

    Tasks beyond the limit are neither read nor locked.
    """
    return f"""
        SELECT {columns} FROM (
            SELECT {columns} FROM {_LEVELS} CROSS JOIN LATERAL (
                SELECT {columns} FROM tasks WHERE {_URGENT_DUE} {where}
                ORDER BY {schema.DUE_AT}, task_id
                LIMIT :limit
                {lock}
            ) AS due_at_level
            UNION ALL
            SELECT {columns} FROM ({due_ordinary(columns=columns, where=where, lock=lock)}) AS due_ordinary
        ) AS due_by_priority
        LIMIT :limit
    """


PICKED = f"""
    SELECT task_id FROM unnest(CAST(:task_ids AS bigint[]), CAST(:keys AS text[])) AS given (picked_id, key)
    CROSS JOIN LATERAL (
        -- Not by a plain condition on status: an index of all pending tasks would look better than the primary key.
        SELECT task_id FROM tasks
        WHERE task_id = given.picked_id AND queue = :queue AND coalesce(status, '') = 'pending' AND NOT is_next
            AND execution_time <= {NOW} AND concurrency_key IS NOT DISTINCT FROM given.key
        FOR UPDATE SKIP LOCKED
    ) AS locked
"""
"""Locks those tasks, unless they changed since they were read."""


def due_quarantined(lost_leases: str, *, queue: str, columns: str = "task_id", where: str = "") -> str:
    """Returns the statement that locks up to `limit` due tasks by a condition on `lost_leases` and on their queue."""
    return f"""
        SELECT {columns} FROM tasks
        WHERE {queue} AND status = 'pending' AND lost_leases {lost_leases} AND {schema.DUE_AT} <= {NOW} {where}
        ORDER BY {schema.DUE_AT}, task_id
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    """


# No row matches: the lock is on the table `queues`, from before the statement's snapshot. A change of limits waits for
# the claims that have it (`queues.earlier_claims`).
_BEGAN = "SELECT clock_timestamp() AS now WHERE NOT EXISTS (SELECT FROM queues WHERE false FOR KEY SHARE)"


# `ANY(ARRAY(SELECT …))` over the materialized CTE keeps the ordered index scan and the limit; `IN (SELECT … LIMIT …)`
# can exceed the limit.
def claim(due: str, *, before: str = "", **moment: str) -> sa.TextClause:
    """Returns the statement that claims the tasks of `due`, for `worker_id` and `lease`.

    `before` has CTEs for the other parts. Its rows are the tasks in order, each with `now` and the expressions of
    `moment`; if it claims none, one row has only these. Leases begin `now`, when every lock is held.
    """
    now = "(SELECT now FROM began)"
    expressions = {"now": now, **moment}
    log = task_columns.write_log("claimed", change="'started'", actor=":worker_id", timestamp=now)
    return sa.text(f"""
        WITH began AS MATERIALIZED ({_BEGAN}), {before} due AS MATERIALIZED ({due}), claimed AS (
            UPDATE tasks SET status = 'running', version = version + 1, updated_at = {now}, executed_at = {now},
                worker_id = :worker_id, lease_expires_at = {now} + CAST(:lease AS interval)
            WHERE task_id = ANY(ARRAY(SELECT task_id FROM due))
            RETURNING {task_columns.CLAIMED_COLUMNS}, status
        ), {log}
        SELECT {task_columns.CLAIMED_COLUMNS}, {", ".join(f"moment.{name}" for name in expressions)}
        FROM (SELECT {", ".join(f"{expression} AS {name}" for name, expression in expressions.items())}) AS moment
        LEFT JOIN claimed ON true
        ORDER BY priority DESC, execution_time, task_id
    """)
