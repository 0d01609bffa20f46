"""Indexes for lists of tasks by schedule, concurrency key and name prefix, and for lists of schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_NOT_RUNNING = "status <> 'running'"
_SCHEDULES = {"name": "name", "queue": "(template ->> 'queue'::text)", "paused": "is_paused"}


def upgrade() -> None:
    """Applies it. No row is rewritten; indexes are built, and writes to these tables wait meanwhile, reads do not."""
    for name, column in {"schedule": "schedule_id", "key": "concurrency_key"}.items():
        op.create_index(
            f"tasks_{name}_idx",
            "tasks",
            [column, sa.text("greatest(execution_time)"), "task_id"],
            postgresql_where=sa.text(f"{column} IS NOT NULL AND {_NOT_RUNNING}"),
        )
    # The next migration puts it in the place of tasks_name_idx: dropping that one also blocks reads.
    op.create_index(
        "tasks_name_idx_new",
        "tasks",
        ["name", "execution_time", "task_id"],
        postgresql_where=sa.text(_NOT_RUNNING),
        postgresql_ops={"name": "text_pattern_ops"},
    )
    for name, column in _SCHEDULES.items():
        op.create_index(
            f"schedules_{name}_idx",
            "schedules",
            [sa.text(column), sa.text("greatest(schedule_id)")],
            postgresql_where=sa.text("deleted_at IS NULL"),
        )
    for table in ("tasks", "schedules"):
        op.execute(f"ANALYZE {table}")  # expressions have no statistics until then


def downgrade() -> None:
    """Reverts it."""
    for name in _SCHEDULES:
        op.drop_index(f"schedules_{name}_idx", "schedules")
    for name in ("tasks_name_idx_new", "tasks_key_idx", "tasks_schedule_idx"):
        op.drop_index(name, "tasks")
