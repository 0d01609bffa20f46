"""The clocks of schedules, and tasks whose nominal time a caller refused."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
locks = ("tasks", "schedules")

_TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Applies it. No row is rewritten."""
    op.add_column("tasks", sa.Column("is_refused", sa.Boolean, nullable=False, server_default="false"))
    for column in (
        sa.Column("next_nominal_time", _TIMESTAMP),
        sa.Column("next_due_at", _TIMESTAMP),
        sa.Column("advance_at", _TIMESTAMP),
        sa.Column("is_waiting", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("advance_failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("advance_error", sa.Text),
    ):
        op.add_column("schedules", column)


def downgrade() -> None:
    """Reverts it."""
    op.drop_column("tasks", "is_refused")
    for column in (
        "next_nominal_time",
        "next_due_at",
        "advance_at",
        "is_waiting",
        "advance_failures",
        "advance_error",
    ):
        op.drop_column("schedules", column)
