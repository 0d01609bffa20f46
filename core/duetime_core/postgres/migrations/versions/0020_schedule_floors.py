"""From where on next tasks, and schedules that are due, are read."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "next_floors",
        sa.Column("queue", sa.Text, primary_key=True),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "advance_floor",
        sa.Column("advance_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "is_only",
            sa.Boolean,
            sa.CheckConstraint("is_only", name="is_only"),
            primary_key=True,
            server_default="true",
        ),
    )


def downgrade() -> None:
    """Reverts it."""
    op.drop_table("advance_floor")
    op.drop_table("next_floors")
