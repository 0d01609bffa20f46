"""The statements that create tasks: all of a batch in one."""

import sqlalchemy as sa

from duetime_core.postgres import namespaced
from duetime_core.store import encoding
from duetime_core.store.tasks import columns, payloads

_FIELDS = {
    **encoding.TEMPLATE,
    "execution_time": "timestamptz",
    "request_id": "text",
    "request_digest": "uuid",
    "local_time": "timestamp",
    "time_zone": "text",
}
_GIVEN = {**_FIELDS, "earlier_digest": "uuid"}
_STORED = [field for field in _FIELDS if field != "request_digest"]
_VALUES = ", ".join(
    encoding.expressions(
        _STORED, execution_time="greatest(given.execution_time, now())", task_data=payloads.inline("given.task_data")
    )
)


# Ids are drawn only for inserted tasks: the same statement first looks up request_ids that already have a task, and an
# all-or-none batch that these refuse draws none. The exception is a request_id that another transaction takes at the
# same moment.
# They are drawn before the insert, because RETURNING cannot return the input position of a row. One row lists them with
# their input positions: joining the input to the created rows would compare each of its tasks with all of those.
# One JSON parameter costs less to build and to send than an array per column. Request ids are inserted first, in one
# order, because an insert waits for another transaction's insert of the same one: batches in two orders would deadlock.
def _creating(is_repeated: str, condition: str, *, has_callers: bool = False) -> sa.TextClause:
    """Returns the statement that creates the tasks with new request_ids, if `condition` holds.

    `is_repeated` is what it has of the others, whose row in `request_ids` is `earlier`. With `has_callers` each task of
    the input has its namespace and its actor.
    """
    given = {**_GIVEN, "namespace_id": "int", "actor": "text"} if has_callers else _GIVEN
    own = "given.namespace_id" if has_callers else ":namespace_id"
    make = sa.text if has_callers else namespaced.text
    # A binary search, for the same reason.
    actors = """callers AS MATERIALIZED (
    SELECT array_agg(task_id ORDER BY task_id) AS task_ids, array_agg(actor ORDER BY task_id) AS actors FROM input
), """
    actor = "(SELECT actors[width_bucket(created.task_id, task_ids)] FROM callers)"
    return make(f"""
WITH given AS MATERIALIZED (
    SELECT given.*, (
        -- NULL if its request_id is new.
        SELECT {is_repeated} FROM request_ids AS earlier
        WHERE earlier.namespace_id = {own} AND earlier.request_id = given.request_id
    ) AS is_repeated
    FROM ROWS FROM (json_to_recordset(CAST(:tasks AS json)) AS (
        {encoding.record(given)}
    )) WITH ORDINALITY AS given (
        {", ".join(given)}, position
    )
), input AS MATERIALIZED (
    SELECT nextval('tasks_task_id_seq') AS task_id, given.* FROM given
    WHERE is_repeated IS NULL AND {condition}
), named AS (
    INSERT INTO request_ids (namespace_id, request_id, task_id, digest)
    SELECT {own}, request_id, task_id, request_digest FROM input AS given WHERE request_id IS NOT NULL
    ORDER BY {"namespace_id, " if has_callers else ""}request_id COLLATE "C", position
    ON CONFLICT DO NOTHING
    RETURNING task_id
), created AS (
    INSERT INTO tasks (task_id, {encoding.columns(_STORED)}, namespace_id) OVERRIDING SYSTEM VALUE
    SELECT task_id, {_VALUES}, {own}
    FROM input AS given WHERE request_id IS NULL OR task_id IN (SELECT task_id FROM named)
    ORDER BY position
    RETURNING task_id, version, execution_time, retry_count, queue, name, priority, concurrency_key, schedule_id,
        namespace_id
), waits AS (
    INSERT INTO waiting (task_id, queue, ready_at, version, level, concurrency_key, schedule_id, namespace_id)
    SELECT task_id, queue, greatest(execution_time, clock_timestamp()), version, {columns.QUEUE_LEVEL}, concurrency_key,
        schedule_id, namespace_id
    FROM created
), {payloads.OF_CREATED}, {actors if has_callers else ""}{
        columns.write_log("created", change="'created'", status="'pending'", actor=actor if has_callers else ":actor")
    }
SELECT array_agg(task_id) AS task_ids, array_agg(position) AS positions, NULL AS task_id, NULL AS queue,
    NULL AS execution_time, now()
FROM input
UNION ALL SELECT NULL, NULL, task_id, queue, execution_time, now() FROM created
""")


CREATE = _creating("true", "true")
CREATE_FOR_CALLERS = _creating("true", "true", has_callers=True)
# Apart, because a statement that may look into all partitions of `ended_tasks` costs as much again.
CREATE_ALL = _creating(
    """(earlier.digest IN (given.request_digest, given.earlier_digest)) IS TRUE AND NOT EXISTS (
            SELECT FROM ended_tasks
            WHERE ended_tasks.task_id = earlier.task_id AND ended_tasks.namespace_id = :namespace_id
                AND (status = 'cancelled' OR deleted_at IS NOT NULL)
        )""",
    "NOT EXISTS (SELECT FROM given AS refused WHERE NOT refused.is_repeated)",
)

FIND_REQUESTS = namespaced.text("""
SELECT request_id, digest, request_ids.task_id, queue, execution_time, now(), status, deleted_at
FROM request_ids CROSS JOIN LATERAL (
    SELECT queue, execution_time, NULL AS deleted_at, CASE
        WHEN EXISTS (
            SELECT FROM waiting WHERE waiting.task_id = tasks.task_id AND waiting.namespace_id = :namespace_id
        ) THEN 'pending' ELSE 'running'
    END AS status
    FROM tasks WHERE tasks.task_id = request_ids.task_id AND tasks.namespace_id = :namespace_id
    UNION ALL
    SELECT queue, execution_time, deleted_at, status FROM ended_tasks
    WHERE ended_tasks.task_id = request_ids.task_id AND ended_tasks.namespace_id = :namespace_id
) AS earlier
WHERE request_ids.namespace_id = :namespace_id AND request_id = ANY(CAST(:request_ids AS text[]))
""")
