"""The statements that claim: what they take, in which order, and how taking it is written."""

import sqlalchemy as sa

from duetime_core.model import task
from duetime_core.postgres import schema
from duetime_core.store.tasks import columns as task_columns

_ORDINARY = f"queue = :queue AND {schema.ORDINARY}"
_URGENT = f"queue = :queue AND {schema.URGENT} AND priority = level.priority"
_LEVELS = f"generate_series({task.MAX_PRIORITY}, 1, -1) AS level (priority)"

IS_UNLIMITED = "NOT EXISTS (SELECT FROM queues WHERE name = :queue)"
"""Whether nothing holds the queue back. Only then it may be claimed from without its row locked."""

HAS_PRIORITIES = f"EXISTS (SELECT FROM tasks WHERE queue = :queue AND {schema.URGENT})"
"""Whether tasks of a higher priority wait in the queue, due or not."""

HAS_OCCURRENCES = f"""EXISTS (
    SELECT FROM tasks WHERE queue = :queue AND is_next AND {schema.DUE_AT} <= now()
)"""
"""Whether next occurrences of schedules are due in the queue: they are claimed once the ones after them are made."""

NEXT_ORDINARY_AT = f"""(
    SELECT execution_time FROM tasks WHERE {_ORDINARY} AND {schema.DUE_AT} > now()
    ORDER BY {schema.DUE_AT}, task_id LIMIT 1
)"""
FIRST_OCCURRENCE_AT = f"""(
    SELECT execution_time FROM tasks WHERE queue = :queue AND is_next ORDER BY {schema.DUE_AT}, task_id LIMIT 1
)"""
"""When the first next occurrence of a schedule is due, or was."""

NEXT_DUE_AT = f"""least({NEXT_ORDINARY_AT}, (
    SELECT min(execution_time) FROM {_LEVELS} CROSS JOIN LATERAL (
        SELECT execution_time FROM tasks WHERE {_URGENT} AND {schema.DUE_AT} > now()
        ORDER BY {schema.DUE_AT}, task_id LIMIT 1
    ) AS next_at_level
), (
    SELECT execution_time FROM tasks WHERE queue = :queue AND is_next AND {schema.DUE_AT} > now()
    ORDER BY {schema.DUE_AT}, task_id LIMIT 1
))"""


# What the partial indexes ask for is written out: a generic plan cannot conclude it from a parameter.
def due_ordinary(*, columns: str = "task_id", where: str = "true") -> str:
    """Returns the statement that locks up to `limit` due tasks of `queue` that have no priority, in their order."""
    return f"""
        SELECT {columns} FROM tasks WHERE {_ORDINARY} AND {schema.DUE_AT} <= now() AND {where}
        ORDER BY {schema.DUE_AT}, task_id
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    """


def due(*, columns: str = "task_id", where: str = "true") -> str:
    """Returns the statement that locks up to `limit` due tasks of `queue`: by priority, and then in their order.

    What the limit does not ask for is neither read nor locked.
    """
    return f"""
        SELECT {columns} FROM (
            SELECT {columns} FROM {_LEVELS} CROSS JOIN LATERAL (
                SELECT {columns} FROM tasks WHERE {_URGENT} AND {schema.DUE_AT} <= now() AND {where}
                ORDER BY {schema.DUE_AT}, task_id
                LIMIT :limit
                FOR UPDATE SKIP LOCKED
            ) AS due_at_level
            UNION ALL
            SELECT {columns} FROM ({due_ordinary(columns=columns, where=where)}) AS due_without
        ) AS due_by_priority
        LIMIT :limit
    """


def due_quarantined(which: str, *, queue: str, columns: str = "task_id", where: str = "true") -> str:
    """Returns the statement that locks up to `limit` due suspects: those whose `lost_leases` are `which`."""
    return f"""
        SELECT {columns} FROM tasks
        WHERE {queue} AND status = 'pending' AND lost_leases {which} AND {schema.DUE_AT} <= now() AND {where}
        ORDER BY {schema.DUE_AT}, task_id
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    """


# `ANY(ARRAY(SELECT …))` over the materialized CTE keeps the ordered index scan and its limit; `IN (SELECT … LIMIT …)`
# can exceed it.
def claim(due: str, *, before: str = "", **moment: str) -> sa.TextClause:
    """Returns the statement that claims the tasks that `due` selects, for `worker_id` and `lease`.

    `before` are CTEs that all else may use. It answers the tasks in their order, and with each the expressions of
    `moment` and `now`; if it claims none, with none.
    """
    expressions = {"now": "now()", **moment}
    return sa.text(f"""
        WITH {before} due AS MATERIALIZED ({due}), claimed AS (
            UPDATE tasks SET status = 'running', version = version + 1, updated_at = now(), executed_at = now(),
                worker_id = :worker_id, lease_expires_at = now() + CAST(:lease AS interval)
            WHERE task_id = ANY(ARRAY(SELECT task_id FROM due))
            RETURNING {task_columns.CLAIMED_COLUMNS}, status
        ), {task_columns.write_log("claimed", change="'started'", actor=":worker_id")}
        SELECT {task_columns.CLAIMED_COLUMNS}, {", ".join(f"moment.{name}" for name in expressions)}
        FROM (SELECT {", ".join(f"{expression} AS {name}" for name, expression in expressions.items())}) AS moment
        LEFT JOIN claimed ON true
        ORDER BY priority DESC, execution_time, task_id
    """)
