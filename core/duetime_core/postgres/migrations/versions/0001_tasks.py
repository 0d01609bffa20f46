"""The tasks and their log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from duetime_core.postgres import tables

revision = "0001"
down_revision = None

_TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.BigInteger, sa.Identity(always=True, maxvalue=2**32 - 1), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("execution_time", _TIMESTAMP, nullable=False),
        sa.Column("task_data", postgresql.JSONB, nullable=False),
        sa.Column("result", postgresql.JSONB),
        sa.Column("error_message", sa.Text),
        sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("max_retries", sa.Integer, nullable=False, server_default="3"),
        sa.Column("retry_initial_backoff", sa.Interval, nullable=False),
        sa.Column("retry_max_backoff", sa.Interval, nullable=False),
        sa.Column("retry_multiplier", sa.Double, nullable=False),
        sa.Column("retry_jitter", sa.Double, nullable=False),
        sa.Column("timeout", sa.Interval),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("created_at", _TIMESTAMP, nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", _TIMESTAMP, nullable=False, server_default=sa.func.now()),
        sa.Column("executed_at", _TIMESTAMP),
        sa.Column("request_id", sa.Text),
        sa.Column("request_digest", sa.Uuid),
        sa.Column("worker_id", sa.Text),
        sa.Column("lease_expires_at", _TIMESTAMP),
        sa.Column("deleted_at", _TIMESTAMP),
        sa.PrimaryKeyConstraint("task_id", name="tasks_pkey"),
        sa.CheckConstraint("status IN ('pending', 'running', 'completed', 'failed', 'cancelled')", name="status"),
        # Most tasks are updated twice or more within minutes: leave space on their page, and vacuum early.
        postgresql_with={"fillfactor": "80", "autovacuum_vacuum_scale_factor": "0.01"},
    )
    pending = sa.text("status = 'pending'")
    op.create_index("tasks_due_idx", "tasks", ["queue", "execution_time", "task_id"], postgresql_where=pending)
    op.create_index("tasks_lease_idx", "tasks", ["lease_expires_at"], postgresql_where=sa.text("status = 'running'"))
    op.create_index(
        "tasks_request_id_key",
        "tasks",
        ["request_id"],
        unique=True,
        postgresql_where=sa.text("request_id IS NOT NULL"),
    )
    op.create_index("tasks_execution_time_idx", "tasks", ["execution_time", "task_id"])
    for column in ("status", "queue", "name"):
        op.create_index(f"tasks_{column}_idx", "tasks", [column, "execution_time", "task_id"])

    op.create_table(
        "task_logs",
        sa.Column("log_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("error_message", sa.Text),
        sa.Column("timestamp", _TIMESTAMP, nullable=False, server_default=sa.func.now()),
        sa.Column("execution_time", _TIMESTAMP, nullable=False),
        sa.Column("retry_count", sa.Integer, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("duration", sa.Interval),
        sa.Column("xid", tables.XID8, nullable=False, server_default=sa.text("pg_current_xact_id()")),
        sa.PrimaryKeyConstraint("task_id", "version", "timestamp", name="task_logs_pkey"),
        postgresql_partition_by="RANGE (timestamp)",
    )
    op.create_index("task_logs_xid_idx", "task_logs", ["xid"])
    # Takes the rows of months without a partition, so that no row is ever refused; see `store.log.partitions`.
    op.execute("CREATE TABLE task_logs_default PARTITION OF task_logs DEFAULT")


def downgrade() -> None:
    """Reverts it."""
    op.drop_table("task_logs")
    op.drop_table("tasks")
