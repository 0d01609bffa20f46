"""Audit events: changes of API keys, and refused calls."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "audit_events",
        sa.Column("event_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("first_timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("calls", sa.Integer, nullable=False, server_default="1"),
        sa.Column("actor", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("method", sa.Text),
        sa.Column("reason", sa.Text),
    )
    op.create_index("audit_events_timestamp_idx", "audit_events", ["timestamp"])


def downgrade() -> None:
    """Reverts it."""
    op.drop_table("audit_events")
