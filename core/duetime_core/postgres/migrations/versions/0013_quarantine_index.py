"""The final name of the index of quarantined tasks."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Applies it."""
    op.execute("ALTER INDEX tasks_suspects_idx RENAME TO tasks_quarantined_idx")


def downgrade() -> None:
    """Reverts it."""
    op.execute("ALTER INDEX tasks_quarantined_idx RENAME TO tasks_suspects_idx")
