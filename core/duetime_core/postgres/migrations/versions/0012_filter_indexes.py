"""Indexes for lists of tasks by schedule, concurrency key and name prefix, and for lists of schedules."""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_NOT_RUNNING = "status <> 'running'"
_SCHEDULES = {"name": "name", "queue": "(template ->> 'queue'::text)", "paused": "is_paused"}


def upgrade() -> None:
    """Applies it. No row is rewritten; three indexes of tasks are built, and writes wait meanwhile, reads do not."""
    for name, column in {"schedule": "schedule_id", "key": "concurrency_key"}.items():
        op.create_index(
            f"tasks_{name}_idx",
            "tasks",
            [column, sa.text("greatest(execution_time)"), "task_id"],
            postgresql_where=sa.text(f"{column} IS NOT NULL AND {_NOT_RUNNING}"),
        )
    for name, column in _SCHEDULES.items():
        op.create_index(
            f"schedules_{name}_idx",
            "schedules",
            [sa.text(column), sa.text("greatest(schedule_id)")],
            postgresql_where=sa.text("deleted_at IS NULL"),
        )
    _build_names_anew({"name": "text_pattern_ops"})
    for table in ("tasks", "schedules"):
        op.execute(f"ANALYZE {table}")  # expressions have no statistics until then


def downgrade() -> None:
    """Reverts it."""
    _build_names_anew({})
    for name in _SCHEDULES:
        op.drop_index(f"schedules_{name}_idx", "schedules")
    for name in ("schedule", "key"):
        op.drop_index(f"tasks_{name}_idx", "tasks")


def _build_names_anew(ops: Mapping[str, str]) -> None:
    # Dropping blocks readers until the transaction ends, so it comes last.
    op.create_index(
        "tasks_name_idx_new",
        "tasks",
        ["name", "execution_time", "task_id"],
        postgresql_where=sa.text(_NOT_RUNNING),
        postgresql_ops=ops,
    )
    op.drop_index("tasks_name_idx", "tasks")
    op.execute("ALTER INDEX tasks_name_idx_new RENAME TO tasks_name_idx")
