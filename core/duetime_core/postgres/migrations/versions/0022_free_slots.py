"""How many more tasks a worker may claim: fewer than its slots while its threads are in use."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
locks = ("workers",)


def upgrade() -> None:
    """Applies it."""
    op.add_column("workers", sa.Column("free_slots", sa.Integer))


def downgrade() -> None:
    """Reverts it."""
    op.drop_column("workers", "free_slots")
