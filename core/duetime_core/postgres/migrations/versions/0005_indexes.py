"""Claim indexes by an expression that no other index has; one index is dropped."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_INDEXES = (("tasks_due_idx", "lost_leases < 2"), ("tasks_suspects_idx", "lost_leases > 1"))
_DUE_AT = sa.text("greatest(execution_time)")


def upgrade() -> None:
    """Applies it. No row is rewritten; two indexes are built, and writes wait meanwhile; reads wait at its end."""
    _build_anew(_DUE_AT)
    op.drop_index("tasks_execution_time_idx", "tasks")
    op.execute("ANALYZE tasks")  # an expression has no statistics until then


def downgrade() -> None:
    """Reverts it."""
    op.create_index("tasks_execution_time_idx", "tasks", ["execution_time", "task_id"])
    _build_anew("execution_time")


def _build_anew(due_at: str | sa.TextClause) -> None:
    # Dropping blocks readers until the transaction ends, so it comes last.
    for name, condition in _INDEXES:
        where = sa.text(f"status = 'pending' AND {condition}")
        op.create_index(f"{name}_new", "tasks", ["queue", due_at, "task_id"], postgresql_where=where)
    for name, _ in _INDEXES:
        op.drop_index(name, "tasks")
        op.execute(f"ALTER INDEX {name}_new RENAME TO {name}")
