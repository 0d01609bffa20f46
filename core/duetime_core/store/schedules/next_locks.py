"""Locking the next tasks of schedules of a namespace, whose rows are locked."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from duetime_core.model import schedule
from duetime_core.postgres import namespaced
from duetime_core.store.schedules import columns, next_task
from duetime_core.store.tasks import columns as task_columns

LOCK = namespaced.text(f"""
SELECT given.schedule_id, coalesce(present.task_id, refused.task_id) AS task_id,
    coalesce(present.nominal_time, refused.nominal_time) AS nominal_time,
    coalesce(present.execution_time, refused.due_at) AS execution_time,
    refused.task_id IS NOT NULL AS is_refused, next_task.task_id IS NOT NULL AS has_next,
    refused.task_id IS NOT NULL AND {next_task.IS_RETRIED} AS is_retried,
    given.overlap <> '{schedule.Overlap.ALLOW}' AND {task_columns.is_overlapped("given.schedule_id")} AS is_overlapped
FROM unnest(CAST(:schedule_ids AS bigint[]), CAST(:nominal_times AS timestamptz[]), CAST(:overlaps AS text[]))
    AS given (schedule_id, nominal_time, overlap)
CROSS JOIN LATERAL (
    SELECT {columns.next_id("given.schedule_id", "given.nominal_time")} AS task_id OFFSET 0
) AS next_task
LEFT JOIN LATERAL (
    SELECT task_id FROM waiting
    WHERE waiting.task_id = next_task.task_id AND waiting.namespace_id = :namespace_id AND is_next
    FOR UPDATE SKIP LOCKED
) AS locked ON true
LEFT JOIN LATERAL (
    SELECT task_id, nominal_time, execution_time FROM tasks
    WHERE tasks.task_id = locked.task_id AND tasks.namespace_id = :namespace_id
    FOR UPDATE SKIP LOCKED
) AS present ON true
LEFT JOIN LATERAL (
    -- Not a condition of the join, by which every schedule's row would be read.
    SELECT * FROM ({next_task.REFUSED.format("given.schedule_id")}) AS found WHERE next_task.task_id IS NULL
) AS refused ON true
""")
"""Locks the next tasks of schedules. Without task_id, but with has_next, another session has locked it."""


def of_rows(rows: Sequence[sa.Row[Any]]) -> dict[str, Any]:
    """Returns the parameters of LOCK for these rows of schedules."""
    return {
        "schedule_ids": [row.schedule_id for row in rows],
        "nominal_times": [row.next_nominal_time for row in rows],
        "overlaps": [row.overlap for row in rows],
    }
