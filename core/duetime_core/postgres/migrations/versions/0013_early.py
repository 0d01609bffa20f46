"""An index of tasks that were overdue when they last changed, which claims look up."""

from alembic import op

from duetime_core.postgres import index_builds

revision = "0013"
down_revision = "0012"


def prepare() -> None:
    """Builds the index, while others read and write."""
    condition = "status = 'pending' AND lost_leases < 2 AND NOT is_next AND updated_at > execution_time"
    index_builds.build("tasks_early_idx", "tasks", f"(queue, updated_at) WHERE {condition}")


def upgrade() -> None:
    """Applies it: all is prepared."""


def downgrade() -> None:
    """Reverts it."""
    op.drop_index("tasks_early_idx", "tasks")
