"""The histories of the database, and marks: where the rows of later transactions begin in the log."""

import sqlalchemy as sa
from alembic import op

from duetime_core.postgres import tables

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Applies it. Cursors of the release before name no history: they are refused."""
    op.create_table(
        "feed_marks",
        sa.Column("xid", tables.XID8, primary_key=True),
        sa.Column("log_id", sa.BigInteger, nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")),
    )
    op.create_table(
        "feed_histories",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("history_id", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column("database_id", sa.Text, nullable=False),
        sa.Column("timeline", sa.Text, nullable=False),
        sa.Column("postmaster_started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_xid", tables.XID8, nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")),
        sa.UniqueConstraint("history_id", name="feed_histories_history_id_key"),
        sa.UniqueConstraint(
            "database_id",
            "timeline",
            "postmaster_started_at",
            name="feed_histories_database_id_timeline_postmaster_started_at_key",
        ),
    )


def downgrade() -> None:
    """Reverts it."""
    op.drop_table("feed_histories")
    op.drop_table("feed_marks")
