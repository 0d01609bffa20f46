"""An index of log ids, by which the feed continues after a page."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Applies it. No row is rewritten; the index is built, and writes wait meanwhile."""
    op.create_index("task_logs_log_id_idx", "task_logs", ["log_id"])


def downgrade() -> None:
    """Reverts it."""
    op.drop_index("task_logs_log_id_idx", "task_logs")
