"""The statements that claim: which tasks, in which order, and how the claim is written.

These are the parts; `store/statements.sql` has the statements that `fast` and `locked` build from them, whole.
"""

import sqlalchemy as sa

from duetime_core.postgres import namespaced, schema
from duetime_core.store.claiming import bounds
from duetime_core.store.tasks import columns as task_columns

NOW = "statement_timestamp()"
"""By when tasks are due. `now()` is from before the queue lock was granted, if the transaction waited for it."""

_QUEUE = "waiting.namespace_id = :namespace_id AND queue = :queue"
_ORDINARY = f"{_QUEUE} AND {schema.ORDINARY}"
_URGENT = f"{_QUEUE} AND {schema.URGENT} AND level = levels.number"
_SINCE, _SINCE_IDS = "(CAST(:since AS timestamptz[]))", "(CAST(:since_ids AS bigint[]))"
_ORDINARY_DUE = f"{_ORDINARY} AND ready_at <= {NOW} AND {bounds.after(f'{_SINCE}[1]', f'{_SINCE_IDS}[1]')}"
_URGENT_SINCE = bounds.after(f"{_SINCE}[levels.number + 1]", f"{_SINCE_IDS}[levels.number + 1]")
_URGENT_DUE = f"{_URGENT} AND ready_at <= {NOW} AND {_URGENT_SINCE}"
_LEVELS = f"generate_series({schema.MAX_LEVEL}, 1, -1) AS levels (number)"

IS_LIMITED = "EXISTS (SELECT FROM queues WHERE queues.namespace_id = :namespace_id AND name = :queue)"
IS_UNLIMITED = f"NOT {IS_LIMITED}"
"""Whether the queue is unlimited. Only then tasks may be claimed without locking its row."""

HAS_URGENT = f"""EXISTS (
    SELECT FROM {_LEVELS} CROSS JOIN LATERAL (
        SELECT FROM waiting WHERE {_URGENT} AND ready_at >= least({_SINCE}[levels.number + 1], {bounds.HERE})
        LIMIT 1
    ) AS urgent
)"""
"""Whether tasks wait in the queue that are claimed before ordinary ones, due or not."""

# Those that have waited longer are found by the advancer itself: here, entries of earlier ones may be many, and the
# bounds far behind.
_NEXT = f"{_QUEUE} AND is_next AND ready_at >= {bounds.HERE}"
HAS_OCCURRENCES = f"""EXISTS (
    SELECT FROM waiting WHERE {_NEXT} AND ready_at <= {NOW}
)"""
"""Whether next occurrences of schedules have become due in the queue: they start once their schedules have advanced."""

NEXT_ORDINARY_AT = f"""(
    SELECT ready_at FROM waiting WHERE {_ORDINARY} AND ready_at > {NOW} ORDER BY ready_at, task_id LIMIT 1
)"""
FIRST_OCCURRENCE_AT = f"""(
    SELECT ready_at FROM waiting WHERE {_NEXT} ORDER BY ready_at, task_id LIMIT 1
)"""
"""When the first next occurrence of a schedule is, or lately was, due."""

NEXT_DUE_AT = f"""least({NEXT_ORDINARY_AT}, (
    SELECT min(ready_at) FROM {_LEVELS} CROSS JOIN LATERAL (
        SELECT ready_at FROM waiting WHERE {_URGENT} AND ready_at > {NOW} ORDER BY ready_at, task_id LIMIT 1
    ) AS next_at_level
), (
    SELECT ready_at FROM waiting WHERE {_QUEUE} AND is_next AND ready_at > {NOW}
    ORDER BY ready_at, task_id LIMIT 1
))"""


_LOCK = "FOR UPDATE SKIP LOCKED"


# The predicates of the partial indexes are written out: a generic plan cannot infer them from a parameter. `where` is
# empty or begins with AND.
def due_ordinary(*, columns: str = "task_id", where: str = "", lock: str = _LOCK) -> str:
    """Returns the statement that reads up to `limit` due tasks of `queue` without a priority, in order."""
    return f"""
        SELECT {columns} FROM waiting WHERE {_ORDINARY_DUE} {where}
        ORDER BY ready_at, task_id
        LIMIT :limit
        {lock}
    """


def due(*, columns: str = "task_id", where: str = "", lock: str = _LOCK) -> str:
    """Returns the statement that reads up to `limit` due tasks of `queue`, by level and then in order.

    Tasks beyond the limit are neither read nor locked.
    """
    return f"""
        SELECT {columns} FROM (
            SELECT {columns} FROM {_LEVELS} CROSS JOIN LATERAL (
                SELECT {columns} FROM waiting WHERE {_URGENT_DUE} {where}
                ORDER BY ready_at, task_id
                LIMIT :limit
                {lock}
            ) AS due_at_level
            UNION ALL
            SELECT {columns} FROM ({due_ordinary(columns=columns, where=where, lock=lock)}) AS due_ordinary
        ) AS due_by_level
        LIMIT :limit
    """


def just_due(columns: str) -> str:
    """Returns the statement that reads what became due in the last second: the latest `limit` tasks of each level."""
    latest = f"AND ready_at <= {NOW} AND ready_at > {NOW} - interval '1 second' ORDER BY ready_at DESC, task_id DESC"
    return f"""
        SELECT {columns} FROM {_LEVELS} CROSS JOIN LATERAL (
            SELECT {columns} FROM waiting WHERE {_URGENT} {latest} LIMIT :limit
        ) AS due_at_level
        UNION ALL (SELECT {columns} FROM waiting WHERE {_ORDINARY} {latest} LIMIT :limit)
    """


PICKED = f"""
    SELECT task_id FROM unnest(CAST(:task_ids AS bigint[]), CAST(:keys AS text[])) AS given (picked_id, key)
    CROSS JOIN LATERAL (
        SELECT task_id FROM waiting
        WHERE task_id = given.picked_id AND {_QUEUE} AND NOT is_next AND ready_at <= {NOW}
            AND concurrency_key IS NOT DISTINCT FROM given.key
        FOR UPDATE SKIP LOCKED
    ) AS locked
"""
"""Locks those tasks, unless they changed since they were read."""


def due_quarantined(lost_leases: str, *, queue: str, columns: str = "task_id", where: str = "") -> str:
    """Returns the statement that locks up to `limit` due tasks by a condition on `lost_leases` and on their queue."""
    return f"""
        SELECT {columns} FROM waiting
        WHERE waiting.namespace_id = :namespace_id AND {queue} AND {schema.QUARANTINED} AND lost_leases {lost_leases}
            AND ready_at <= {NOW} {where}
        ORDER BY ready_at, task_id
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    """


# No row matches: the lock is on the table `queues`, from before the statement's snapshot. A change of limits waits for
# the claims that have it (`queues.earlier_claims`).
_BEGAN = "SELECT clock_timestamp() AS now WHERE NOT EXISTS (SELECT FROM queues WHERE false FOR KEY SHARE)"


# `ANY(ARRAY(SELECT …))` over the materialized CTE keeps the ordered index scan and the limit; `IN (SELECT … LIMIT …)`
# can exceed the limit.
def claim(due: str, *, before: str = "", key: str = "", **moment: str) -> sa.TextClause:
    """Returns the statement that claims the tasks of `due`, for `worker_id` and `lease`, one lease for each queue.

    `before` has CTEs for the other parts. Its rows are the tasks in order, of which the last one has `level`,
    `ready_at`, `now` and the expressions of `moment`: times cost a client more than all else. If it claims none, one
    row has only `now` and these. Leases begin `now`, when every lock is held, and have the concurrency keys of their
    tasks if `key` is given, an expression over `concurrency_key`.

    A row of `waiting` is taken in its newest version, but its task is read as the statement's snapshot sees it. Where
    `claimed_version` is not the task's `version`, a change was committed in between: see REREAD.
    """
    now = "(SELECT now FROM began)"
    expressions = {"now": now, **moment}
    of_last = {"level": "taken.level", "ready_at": "taken.ready_at", **{name: f"moment.{name}" for name in expressions}}
    is_last = "taken.task_id IS NOT DISTINCT FROM (SELECT task_id FROM last)"
    returned, into, keys = "", "", ""
    if key:
        returned, into, keys = ", concurrency_key", ", concurrency_keys", f", array_agg({key})"
    return namespaced.text(f"""
        WITH began AS MATERIALIZED ({_BEGAN}), {before} due AS MATERIALIZED ({due}), taken AS (
            DELETE FROM waiting
            WHERE waiting.namespace_id = :namespace_id AND task_id = ANY(ARRAY(SELECT task_id FROM due))
            RETURNING task_id, queue, version, level, ready_at, lost_leases{returned}
        ), leased AS (
            INSERT INTO leases (namespace_id, worker_id, queue, started_at, expires_at, task_ids, versions,
                is_quarantined{into})
            SELECT :namespace_id, :worker_id, queue, {now}, {now} + CAST(:lease AS interval), array_agg(task_id),
                array_agg(version), bool_or({schema.QUARANTINED}){keys}
            FROM taken GROUP BY queue
            RETURNING lease_id, queue
        ), last AS MATERIALIZED (
            SELECT task_id FROM taken ORDER BY level, ready_at DESC, task_id DESC LIMIT 1
        )
        SELECT {task_columns.CLAIMED_COLUMNS}, tasks.version, taken.task_id AS claimed_id,
            taken.version AS claimed_version, lease_id,
            {", ".join(f"CASE WHEN {is_last} THEN {expression} END AS {name}" for name, expression in of_last.items())}
        FROM (SELECT {", ".join(f"{expression} AS {name}" for name, expression in expressions.items())}) AS moment
        LEFT JOIN (taken JOIN leased ON leased.queue = taken.queue) ON true
        -- OFFSET 0 keeps the planner from a join that reads all tasks where it believes them to be few.
        LEFT JOIN LATERAL (
            SELECT * FROM tasks WHERE tasks.task_id = taken.task_id AND tasks.namespace_id = :namespace_id OFFSET 0
        ) AS tasks ON true
        ORDER BY taken.level DESC, taken.ready_at, taken.task_id
    """)


REREAD = namespaced.text(f"""
SELECT {task_columns.CLAIMED_COLUMNS}, version FROM tasks
WHERE task_id = ANY(CAST(:task_ids AS bigint[])) AND namespace_id = :namespace_id
""")
