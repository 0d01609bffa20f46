"""API keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("may_read_payloads", sa.Boolean, nullable=False),
        sa.Column("handlers", postgresql.ARRAY(sa.Text)),
        sa.Column("queues", postgresql.ARRAY(sa.Text)),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("replaced_by", sa.Text),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_from", sa.Text),
    )
    op.create_index("api_keys_number_idx", "api_keys", ["number"], unique=True)
    op.create_index(
        "api_keys_admins_idx",
        "api_keys",
        ["key_id"],
        postgresql_where=sa.text("role = 'admin' AND revoked_at IS NULL"),
    )


def downgrade() -> None:
    """Reverts it."""
    op.drop_table("api_keys")
