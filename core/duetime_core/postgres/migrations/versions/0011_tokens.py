"""The final names of a token bucket's columns: its tokens, and when they were counted."""

from alembic import op

revision = "0011"
down_revision = "0010"

_COLUMNS = {"allowance": "tokens", "allowance_at": "tokens_at"}


def upgrade() -> None:
    """Applies it."""
    for table in ("queues", "queue_keys"):
        for before, after in _COLUMNS.items():
            op.alter_column(table, before, new_column_name=after)
    op.execute("ALTER INDEX queue_keys_allowance_at_idx RENAME TO queue_keys_tokens_at_idx")


def downgrade() -> None:
    """Reverts it."""
    op.execute("ALTER INDEX queue_keys_tokens_at_idx RENAME TO queue_keys_allowance_at_idx")
    for table in ("queues", "queue_keys"):
        for before, after in _COLUMNS.items():
            op.alter_column(table, after, new_column_name=before)
