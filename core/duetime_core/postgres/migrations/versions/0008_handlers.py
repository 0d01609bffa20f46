"""Users' handlers, as their workers announce them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Applies it. No row is rewritten."""
    op.add_column("workers", sa.Column("announces", sa.Boolean, nullable=False, server_default="false"))
    op.create_table(
        "handlers",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("max_retries", sa.Integer),
        sa.Column("initial_backoff", sa.Interval),
        sa.Column("max_backoff", sa.Interval),
        sa.Column("multiplier", sa.Double),
        sa.Column("jitter", sa.Double),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Reverts it."""
    op.drop_table("handlers")
    op.drop_column("workers", "announces")
