"""The log of changes to queues."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "queue_logs",
        sa.Column("log_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("changes", postgresql.JSONB, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("queue_logs_queue_idx", "queue_logs", ["queue", "log_id"])
    op.create_index("queue_logs_timestamp_idx", "queue_logs", ["timestamp"])


def downgrade() -> None:
    """Reverts it."""
    op.drop_table("queue_logs")
