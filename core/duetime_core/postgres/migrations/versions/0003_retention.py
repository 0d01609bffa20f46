"""For retention: an index of cancelled tasks by age, and the floor below which a watch cannot resume."""

import sqlalchemy as sa
from alembic import op

from duetime_core.postgres import tables

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Applies it. No row is rewritten."""
    op.create_index(
        "tasks_cancelled_idx", "tasks", ["updated_at", "task_id"], postgresql_where=sa.text("status = 'cancelled'")
    )
    op.create_table(
        "feed_floor",
        sa.Column("xid", tables.XID8, nullable=False),
        sa.Column("is_only", sa.Boolean, nullable=False, server_default="true"),
        sa.PrimaryKeyConstraint("is_only", name="feed_floor_pkey"),
        sa.CheckConstraint("is_only", name="is_only"),
    )
    op.execute("INSERT INTO feed_floor (xid) VALUES ('0')")


def downgrade() -> None:
    """Reverts it."""
    op.drop_table("feed_floor")
    op.drop_index("tasks_cancelled_idx", "tasks")
