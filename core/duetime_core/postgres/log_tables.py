"""The tables of the log of tasks and of the feed, as `schema` has all others."""

import sqlalchemy as sa

from duetime_core.postgres import namespace_tables, tables

task_logs = sa.Table(
    "task_logs",
    tables.metadata,
    # Rises with the versions of a task, and orders the feed within a window; see `store.log.feed`.
    sa.Column("log_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("error_message", sa.Text),
    sa.Column("timestamp", sa.DateTime(timezone=True), primary_key=True, server_default=sa.func.now()),
    sa.Column("execution_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("retry_count", sa.Integer, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("duration", sa.Interval),
    # After the change; NULL in rows from before these columns. The previous ones only where the change changed them.
    sa.Column("queue", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("previous_queue", sa.Text),
    sa.Column("previous_name", sa.Text),
    # The transaction that wrote the row: a watch has seen the rows that its snapshot sees.
    sa.Column("xid", tables.XID8, nullable=False, server_default=sa.text("pg_current_xact_id()")),
    namespace_tables.column(),
    sa.Index("task_logs_xid_idx", "xid"),
    sa.Index("task_logs_log_id_idx", "log_id"),
    # By time, so that retention drops a partition instead of deleting rows. No foreign key: a log outlives its task.
    postgresql_partition_by="RANGE (timestamp)",
)

feed_floor = sa.Table(
    "feed_floor",
    tables.metadata,
    # The last transaction whose rows were deleted in part: a watch that has not seen it cannot resume.
    sa.Column("xid", tables.XID8, nullable=False),
    sa.Column(
        "is_only", sa.Boolean, sa.CheckConstraint("is_only", name="is_only"), primary_key=True, server_default="true"
    ),
)

feed_marks = sa.Table(
    "feed_marks",
    tables.metadata,
    # Every transaction above `xid`, which is the one that noted the mark, has only log rows above `log_id`.
    sa.Column("xid", tables.XID8, primary_key=True),
    sa.Column("log_id", sa.BigInteger, nullable=False),
    sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")),
)

feed_histories = sa.Table(
    "feed_histories",
    tables.metadata,
    # The lives of this database, each from a start or promotion of PostgreSQL to the next. Ids of transactions mean the
    # same within one; all that began in it are above `first_xid`. Those of a copied database have another database_id.
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("history_id", sa.Uuid, nullable=False, unique=True, server_default=sa.text("gen_random_uuid()")),
    sa.Column("database_id", sa.Text, nullable=False),
    sa.Column("timeline", sa.Text, nullable=False),
    sa.Column("postmaster_started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("first_xid", tables.XID8, nullable=False),
    sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.UniqueConstraint("database_id", "timeline", "postmaster_started_at"),
)
