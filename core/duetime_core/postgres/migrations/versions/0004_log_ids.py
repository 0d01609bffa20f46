"""What reading the feed page by page needs: to find where a page ended."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Applies it. No row is rewritten; the index is built, and nothing is written meanwhile."""
    op.create_index("task_logs_log_id_idx", "task_logs", ["log_id"])


def downgrade() -> None:
    """Takes it back."""
    op.drop_index("task_logs_log_id_idx", "task_logs")
