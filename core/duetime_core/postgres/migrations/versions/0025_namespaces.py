"""Namespaces: what is there belongs to `default`, and so does what the release before writes from now on."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
locks = (
    *("tasks", "waiting", "ended_tasks", "leases", "claim_floors", "next_floors", "request_ids"),
    *("queues", "queue_keys", "queue_logs", "workers", "handlers"),
    *("schedules", "schedule_logs", "task_logs", "api_keys", "audit_events"),
)


def upgrade() -> None:
    """Applies it, in an instant: a constant default is no write to any row."""
    op.create_table(
        "namespaces",
        sa.Column("namespace_id", sa.Integer, sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("name", name="namespaces_name_key"),
    )
    op.execute("INSERT INTO namespaces (name) VALUES ('default')")
    for table in locks:
        op.add_column(table, sa.Column("namespace_id", sa.Integer, nullable=False, server_default="1"))


def downgrade() -> None:
    """Reverts it."""
    for table in locks:
        op.drop_column(table, "namespace_id")
    op.drop_table("namespaces")
