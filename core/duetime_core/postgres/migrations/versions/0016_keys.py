"""For limits per key: indexes of the waiting and the running tasks of a key, and which keys have tasks left."""

import sqlalchemy as sa
from alembic import op

from duetime_core.postgres import index_builds

revision = "0016"
down_revision = "0015"
locks = ("queue_keys",)


def prepare() -> None:
    """Builds the indexes, while others read and write."""
    waiting = "status = 'pending' AND lost_leases < 2 AND NOT is_next AND concurrency_key IS NOT NULL"
    columns = "queue, concurrency_key, priority, greatest(execution_time), task_id"
    index_builds.build("tasks_waiting_key_idx", "tasks", f"({columns}) WHERE {waiting}")
    running = "status = 'running' AND concurrency_key IS NOT NULL"
    index_builds.build("tasks_running_key_idx", "tasks", f"(queue, concurrency_key) WHERE {running}")


def upgrade() -> None:
    """Applies it: the table of keys has few rows."""
    op.add_column("queue_keys", sa.Column("waits_until", sa.DateTime(timezone=True)))
    for name, column, condition in (
        ("idle", "tokens_at", "waits_until IS NULL"),
        ("waiting", "waits_until", "waits_until IS NOT NULL"),
    ):
        op.create_index(f"queue_keys_{name}_idx", "queue_keys", ["queue", column], postgresql_where=sa.text(condition))


def downgrade() -> None:
    """Reverts it."""
    op.drop_index("queue_keys_waiting_idx", "queue_keys")
    op.drop_index("queue_keys_idle_idx", "queue_keys")
    op.drop_column("queue_keys", "waits_until")
    op.drop_index("tasks_running_key_idx", "tasks")
    op.drop_index("tasks_waiting_key_idx", "tasks")
