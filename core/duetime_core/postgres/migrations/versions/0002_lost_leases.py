"""How many leases in a row a task lost, and the indexes of the claims that use it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_DUE = ["queue", "execution_time", "task_id"]


def upgrade() -> None:
    """Applies it. No row is rewritten; the index of due tasks is rebuilt, and writes wait meanwhile."""
    op.add_column("tasks", sa.Column("lost_leases", sa.Integer, nullable=False, server_default="0"))
    op.drop_index("tasks_due_idx", "tasks")
    for name, condition in (("tasks_due_idx", "lost_leases < 2"), ("tasks_suspects_idx", "lost_leases > 1")):
        op.create_index(name, "tasks", _DUE, postgresql_where=sa.text(f"status = 'pending' AND {condition}"))


def downgrade() -> None:
    """Reverts it."""
    op.drop_index("tasks_suspects_idx", "tasks")
    op.drop_index("tasks_due_idx", "tasks")
    op.drop_column("tasks", "lost_leases")
    op.create_index("tasks_due_idx", "tasks", _DUE, postgresql_where=sa.text("status = 'pending'"))
