"""The concurrency keys of running tasks beside their leases, for limits per key."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
locks = ("leases",)


def upgrade() -> None:
    """Applies it. Of the tasks of leases without keys, claims read them."""
    op.add_column("leases", sa.Column("concurrency_keys", postgresql.ARRAY(sa.Text)))


def downgrade() -> None:
    """Reverts it."""
    op.drop_column("leases", "concurrency_keys")
