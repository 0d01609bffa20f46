"""One next occurrence per schedule as a constraint, and the first time of each schedule's clock."""

import sqlalchemy as sa
from alembic import op

from duetime_core.postgres import index_builds

revision = "0015"
down_revision = "0014"
locks = ("tasks",)

_SCHEDULED = "schedule_id IS NOT NULL"
_NOMINAL_TIMES = "(schedule_id, nominal_time) WHERE"

# Of several next occurrences, the last pending one stays; the others become ordinary tasks.
_KEEP_ONE = """
UPDATE tasks SET is_next = false FROM (
    SELECT task_id, row_number() OVER (
        PARTITION BY schedule_id ORDER BY status = 'pending' DESC, nominal_time DESC, task_id DESC
    ) AS number
    FROM tasks WHERE is_next
) AS numbered
WHERE tasks.task_id = numbered.task_id AND number > 1
"""
_MARK_REFUSED = """
UPDATE tasks SET is_refused = true
WHERE is_next AND deleted_at IS NOT NULL AND NOT is_refused AND NOT EXISTS (
    SELECT FROM tasks AS other
    WHERE other.schedule_id = tasks.schedule_id AND other.nominal_time = tasks.nominal_time AND other.deleted_at IS NULL
)
"""
# No occurrence is due before its nominal time: the worker that then looks computes when it is.
_START_CLOCKS = """
UPDATE schedules SET advance_at = tasks.nominal_time FROM tasks
WHERE tasks.schedule_id = schedules.schedule_id AND tasks.is_next AND advance_at IS NULL AND NOT is_paused
    AND schedules.deleted_at IS NULL
"""


def prepare() -> None:
    """Starts the clocks and builds the indexes, while others read and write."""
    for statement in (_KEEP_ONE, _MARK_REFUSED, _START_CLOCKS):
        op.execute(statement)
    index_builds.build("tasks_next_key", "tasks", f"(schedule_id) WHERE is_next AND {_SCHEDULED}", unique=True)
    taken = f"{_SCHEDULED} AND (deleted_at IS NULL OR is_refused)"
    index_builds.build("tasks_nominal_time_key_new", "tasks", f"{_NOMINAL_TIMES} {taken}", unique=True)
    index_builds.build("schedules_advance_idx", "schedules", "(advance_at, schedule_id) WHERE advance_at IS NOT NULL")
    index_builds.build("schedules_waiting_idx", "schedules", "(schedule_id) WHERE is_waiting")


def upgrade() -> None:
    """Applies it: one index takes the place of another."""
    op.drop_index("tasks_nominal_time_key", "tasks")
    op.execute("ALTER INDEX tasks_nominal_time_key_new RENAME TO tasks_nominal_time_key")


def downgrade() -> None:
    """Reverts it."""
    for name in ("schedules_waiting_idx", "schedules_advance_idx"):
        op.drop_index(name, "schedules")
    for name in ("tasks_next_key", "tasks_nominal_time_key"):
        op.drop_index(name, "tasks")
    op.create_index(
        "tasks_nominal_time_key",
        "tasks",
        ["schedule_id", "nominal_time"],
        unique=True,
        postgresql_where=sa.text(f"{_SCHEDULED} AND deleted_at IS NULL"),
    )
