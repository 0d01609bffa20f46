"""The tables of schedules, as `schema` has all others. `model.schedule` documents their columns."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from duetime_core.postgres import namespace_tables, tables

LISTED_BY = "greatest(schedule_id)"
"""The schedule_id, as lists of schedules by a filter order by it: a plan would otherwise walk another index past all
that do not match, because the filter lets most schedules pass."""
TEMPLATE_QUEUE = "(template ->> 'queue'::text)"

schedules = sa.Table(
    "schedules",
    tables.metadata,
    sa.Column("schedule_id", sa.BigInteger, sa.Identity(always=True, maxvalue=tables.MAX_ID), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("spec", postgresql.JSONB, nullable=False),
    sa.Column("template", postgresql.JSONB, nullable=False),
    sa.Column("overlap", sa.Text, nullable=False),
    sa.Column("catch_up", sa.Text, nullable=False),
    sa.Column("catch_up_window", sa.Interval),
    sa.Column("is_paused", sa.Boolean, nullable=False, server_default="false"),
    # The last nominal time that has a task or was skipped: the next occurrence comes after it.
    sa.Column("last_nominal_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("zone_version", sa.Text, nullable=False),  # of the time zone database that gave the next occurrence
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.Column("request_id", sa.Text),
    sa.Column("request_digest", sa.Uuid),
    # The next occurrence as it was computed: an execution_time other than next_due_at is a caller's.
    sa.Column("next_nominal_time", sa.DateTime(timezone=True)),
    sa.Column("next_due_at", sa.DateTime(timezone=True)),
    # When it has to be advanced; NULL if it is paused, deleted or has ended.
    sa.Column("advance_at", sa.DateTime(timezone=True)),
    sa.Column("is_waiting", sa.Boolean, nullable=False, server_default="false"),  # its next occurrence, for a run
    sa.Column("advance_failures", sa.Integer, nullable=False, server_default="0"),  # in a row
    sa.Column("advance_error", sa.Text),
    namespace_tables.column(),
    sa.Index("schedules_advance_idx", "advance_at", "schedule_id", postgresql_where=sa.text("advance_at IS NOT NULL")),
    sa.Index("schedules_waiting_idx", "schedule_id", postgresql_where=sa.text("is_waiting")),
    # Lists, of all and by each filter.
    sa.Index("schedules_namespace_idx", "namespace_id", "schedule_id", postgresql_where=sa.text("deleted_at IS NULL")),
    *(
        sa.Index(
            f"schedules_{name}_idx",
            "namespace_id",
            sa.text(column),
            sa.text(LISTED_BY),
            postgresql_where=sa.text("deleted_at IS NULL"),
        )
        for name, column in (("name", "name"), ("queue", TEMPLATE_QUEUE), ("paused", "is_paused"))
    ),
    sa.Index(
        "schedules_request_id_key",
        "namespace_id",
        "request_id",
        unique=True,
        postgresql_where=sa.text("request_id IS NOT NULL"),
    ),
)

schedule_logs = sa.Table(
    "schedule_logs",
    tables.metadata,
    sa.Column("log_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("schedule_id", sa.BigInteger, nullable=False),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("nominal_time", sa.DateTime(timezone=True)),  # of the occurrence, or the first of several
    sa.Column("until", sa.DateTime(timezone=True)),  # the last of several
    sa.Column("reason", sa.Text),
    sa.Column("task_id", sa.BigInteger),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    namespace_tables.column(),
    sa.Index("schedule_logs_schedule_id_idx", "schedule_id", "namespace_id", "log_id"),
    sa.Index("schedule_logs_timestamp_idx", "timestamp"),
)

next_floors = sa.Table(
    "next_floors",
    tables.metadata,
    # No next task of the queue has an earlier ready_at: what reads them in order begins there. Noted by workers.
    namespace_tables.column(is_key=True),
    sa.Column("queue", sa.Text, primary_key=True),
    sa.Column("ready_at", sa.DateTime(timezone=True), nullable=False),
)

advance_floor = sa.Table(
    "advance_floor",
    tables.metadata,
    # No schedule has an earlier advance_at.
    sa.Column("advance_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column(
        "is_only", sa.Boolean, sa.CheckConstraint("is_only", name="is_only"), primary_key=True, server_default="true"
    ),
)
