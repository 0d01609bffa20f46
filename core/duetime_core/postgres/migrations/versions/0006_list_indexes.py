"""List indexes without running tasks, and that of queues without pending ones: other indexes have these already."""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_NOT_RUNNING = sa.text("status <> 'running'")
_ENDED = sa.text("status NOT IN ('pending', 'running')")
_INDEXES = {"status": _NOT_RUNNING, "name": _NOT_RUNNING, "queue": _ENDED}


def upgrade() -> None:
    """Applies it. No row is rewritten; three indexes are built, and writes wait meanwhile; reads wait at its end."""
    _build_anew(_INDEXES)


def downgrade() -> None:
    """Reverts it."""
    _build_anew(dict.fromkeys(_INDEXES))


def _build_anew(conditions: Mapping[str, sa.TextClause | None]) -> None:
    # Dropping blocks readers until the transaction ends, so it comes last.
    for column, where in conditions.items():
        columns = [column, "execution_time", "task_id"]
        op.create_index(f"tasks_{column}_idx_new", "tasks", columns, postgresql_where=where)
    for column in conditions:
        op.drop_index(f"tasks_{column}_idx", "tasks")
        op.execute(f"ALTER INDEX tasks_{column}_idx_new RENAME TO tasks_{column}_idx")
