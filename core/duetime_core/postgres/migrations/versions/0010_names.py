"""The final names: the change `released` of the log, and a worker's concurrency and last heartbeat."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_COLUMNS = {"places": "concurrency", "last_seen_at": "last_heartbeat_at"}


def upgrade() -> None:
    """Applies it. The whole log is read, while writes continue; only rows with that change are rewritten."""
    _rename_change("handed_back", "released")
    for before, after in _COLUMNS.items():
        op.alter_column("workers", before, new_column_name=after)


def downgrade() -> None:
    """Reverts it."""
    for before, after in _COLUMNS.items():
        op.alter_column("workers", after, new_column_name=before)
    _rename_change("released", "handed_back")


def _rename_change(before: str, after: str) -> None:
    # A row keeps its xid, so watches do not see it again.
    statement = sa.text("UPDATE task_logs SET change = :after WHERE change = :before")
    op.execute(statement.bindparams(before=before, after=after))
