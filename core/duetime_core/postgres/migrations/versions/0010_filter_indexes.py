"""Indexes for lists of tasks by schedule, concurrency key and name prefix, and for lists of schedules."""

from alembic import op

from duetime_core.postgres import index_builds

revision = "0010"
down_revision = "0009"

_NOT_RUNNING = "status <> 'running'"
_SCHEDULES = {"name": "name", "queue": "((template ->> 'queue'::text))", "paused": "is_paused"}


def prepare() -> None:
    """Builds the indexes, while others read and write."""
    for name, column in {"schedule": "schedule_id", "key": "concurrency_key"}.items():
        condition = f"{column} IS NOT NULL AND {_NOT_RUNNING}"
        definition = f"({column}, greatest(execution_time), task_id) WHERE {condition}"
        index_builds.build(f"tasks_{name}_idx", "tasks", definition)
    # The next migration puts it in the place of tasks_name_idx: dropping that one also blocks reads.
    index_builds.build(
        "tasks_name_idx_new", "tasks", f"(name text_pattern_ops, execution_time, task_id) WHERE {_NOT_RUNNING}"
    )
    for name, column in _SCHEDULES.items():
        definition = f"({column}, greatest(schedule_id)) WHERE deleted_at IS NULL"
        index_builds.build(f"schedules_{name}_idx", "schedules", definition)
    for table in ("tasks", "schedules"):
        op.execute(f"ANALYZE {table}")  # expressions have no statistics until then


def upgrade() -> None:
    """Applies it: all is prepared."""


def downgrade() -> None:
    """Reverts it."""
    for name in _SCHEDULES:
        op.drop_index(f"schedules_{name}_idx", "schedules")
    for name in ("tasks_name_idx_new", "tasks_key_idx", "tasks_schedule_idx"):
        op.drop_index(name, "tasks")
