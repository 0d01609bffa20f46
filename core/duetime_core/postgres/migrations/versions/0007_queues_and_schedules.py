"""Priorities and concurrency keys of tasks, limited queues, workers with heartbeats, and schedules."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

_DUE_AT = sa.text("greatest(execution_time)")
_WAITS = "status = 'pending' AND lost_leases < 2"


def upgrade() -> None:
    """Applies it. No row is rewritten; the index of due tasks is rebuilt, and reads and writes wait meanwhile."""
    for column in (
        sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("concurrency_key", sa.Text),
        sa.Column("schedule_id", sa.BigInteger),
        sa.Column("nominal_time", sa.DateTime(timezone=True)),
        sa.Column("is_next", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("local_time", sa.DateTime),
        sa.Column("time_zone", sa.Text),
    ):
        op.add_column("tasks", column)
    op.create_check_constraint("priority", "tasks", "priority BETWEEN 0 AND 9")
    op.drop_index("tasks_due_idx", "tasks")
    _index("tasks_due_idx", ["queue", _DUE_AT, "task_id"], f"{_WAITS} AND NOT is_next AND priority = 0")
    _index("tasks_urgent_idx", ["queue", "priority", _DUE_AT, "task_id"], f"{_WAITS} AND NOT is_next AND priority > 0")
    _index("tasks_next_idx", ["queue", _DUE_AT, "task_id"], "is_next")
    _index("tasks_unfinished_idx", ["schedule_id"], "schedule_id IS NOT NULL AND status IN ('pending', 'running')")
    _index("tasks_local_time_idx", ["task_id"], "time_zone IS NOT NULL AND status = 'pending'")
    op.create_index(
        "tasks_nominal_time_key",
        "tasks",
        ["schedule_id", "nominal_time"],
        unique=True,
        postgresql_where=sa.text("schedule_id IS NOT NULL AND deleted_at IS NULL"),
    )
    _create_queues()
    _create_schedules()


def _index(name: str, columns: list[str | sa.TextClause], where: str) -> None:
    op.create_index(name, "tasks", columns, postgresql_where=sa.text(where))


def _create_queues() -> None:
    op.create_table(
        "queues",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("is_paused", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("max_running", sa.Integer),
        sa.Column("max_per_second", sa.Double),
        sa.Column("max_running_per_key", sa.Integer),
        sa.Column("max_per_second_per_key", sa.Double),
        sa.Column("allowance", sa.Double, nullable=False, server_default="0"),
        sa.Column("allowance_at", sa.DateTime(timezone=True), nullable=False, server_default="epoch"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "queue_keys",
        sa.Column("queue", sa.Text, primary_key=True),
        sa.Column("concurrency_key", sa.Text, primary_key=True),
        sa.Column("allowance", sa.Double, nullable=False),
        sa.Column("allowance_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("queue_keys_allowance_at_idx", "queue_keys", ["allowance_at"])
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.Text, primary_key=True),
        sa.Column("queues", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("handlers", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("places", sa.Integer, nullable=False),
        sa.Column("running", sa.Integer, nullable=False),
        sa.Column("rates", postgresql.JSONB, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
    )


def _create_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("schedule_id", sa.BigInteger, sa.Identity(always=True, maxvalue=2**32 - 1), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("spec", postgresql.JSONB, nullable=False),
        sa.Column("template", postgresql.JSONB, nullable=False),
        sa.Column("overlap", sa.Text, nullable=False),
        sa.Column("catch_up", sa.Text, nullable=False),
        sa.Column("catch_up_window", sa.Interval),
        sa.Column("is_paused", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("last_nominal_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("zone_version", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("request_id", sa.Text),
        sa.Column("request_digest", sa.Uuid),
    )
    op.create_index(
        "schedules_request_id_key",
        "schedules",
        ["request_id"],
        unique=True,
        postgresql_where=sa.text("request_id IS NOT NULL"),
    )
    op.create_table(
        "schedule_logs",
        sa.Column("log_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("schedule_id", sa.BigInteger, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("nominal_time", sa.DateTime(timezone=True)),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text),
        sa.Column("task_id", sa.BigInteger),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("schedule_logs_schedule_id_idx", "schedule_logs", ["schedule_id", "log_id"])
    op.create_index("schedule_logs_timestamp_idx", "schedule_logs", ["timestamp"])


def downgrade() -> None:
    """Reverts it."""
    for table in ("schedule_logs", "schedules", "workers", "queue_keys", "queues"):
        op.drop_table(table)
    for index in ("due", "urgent", "next", "unfinished", "local_time"):
        op.drop_index(f"tasks_{index}_idx", "tasks")
    op.drop_index("tasks_nominal_time_key", "tasks")
    for column in (
        "priority",
        "concurrency_key",
        "schedule_id",
        "nominal_time",
        "is_next",
        "local_time",
        "time_zone",
    ):
        op.drop_column("tasks", column)
    _index("tasks_due_idx", ["queue", _DUE_AT, "task_id"], _WAITS)
