"""The tables, as Alembic compares them with the migrations. `model.task` documents their columns."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from duetime_core.model import task
from duetime_core.postgres import schedule_tables, tables

MAX_TASK_ID = tables.MAX_ID


class XID8(sa.types.UserDefinedType[str]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Returns the type's name in DDL."""
        return "XID8"


metadata = tables.metadata
"""With the tables of schedules."""
assert schedule_tables.schedules.metadata is metadata

DUE_AT = "greatest(execution_time)"
"""The execution_time, as claims order by it: no other index begins with queue and then has this expression. PostgreSQL
would take another index with pending tasks in that order once statistics make it look cheaper, and walk past all
finished ones."""

NOT_DELETED = "deleted_at IS NULL"
TAKES_NOMINAL_TIME = "(deleted_at IS NULL OR is_refused)"
"""Whether the task stands for its nominal time. A withdrawn one does not."""
NOT_RUNNING = "status <> 'running'"
UNFINISHED = "status IN ('pending', 'running')"
FINISHED = "status NOT IN ('pending', 'running')"
QUARANTINED = f"status = 'pending' AND lost_leases > {task.QUARANTINE_LEASES - 1}"
NOT_QUARANTINED = f"status = 'pending' AND lost_leases < {task.QUARANTINE_LEASES}"
ORDINARY = f"{NOT_QUARANTINED} AND NOT is_next AND priority = 0"
URGENT = f"{NOT_QUARANTINED} AND NOT is_next AND priority > 0"
WAITING_WITH_KEY = f"{NOT_QUARANTINED} AND NOT is_next AND concurrency_key IS NOT NULL"
EARLY = f"{NOT_QUARANTINED} AND NOT is_next AND updated_at > execution_time"
"""Tasks that were overdue when they last changed: claims may have passed their time before."""
_STATUSES = ", ".join(f"'{status}'" for status in task.Status)


def _index(name: str, *columns: str, where: str, **others: Any) -> sa.Index:
    """Returns an index of the tasks that match."""
    expressions = (sa.text(column) if "(" in column else column for column in columns)
    return sa.Index(f"tasks_{name}_idx", *expressions, postgresql_where=sa.text(where), **others)


tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("task_id", sa.BigInteger, sa.Identity(always=True, maxvalue=MAX_TASK_ID), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("status", sa.Text, sa.CheckConstraint(f"status IN ({_STATUSES})", name="status"), nullable=False),
    sa.Column("execution_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("task_data", postgresql.JSONB, nullable=False),
    sa.Column("result", postgresql.JSONB),
    sa.Column("error_message", sa.Text),
    sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("max_retries", sa.Integer, nullable=False, server_default=str(task.DEFAULT_MAX_RETRIES)),
    sa.Column("retry_initial_backoff", sa.Interval, nullable=False),
    sa.Column("retry_max_backoff", sa.Interval, nullable=False),
    sa.Column("retry_multiplier", sa.Double, nullable=False),
    sa.Column("retry_jitter", sa.Double, nullable=False),
    sa.Column("timeout", sa.Interval),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("executed_at", sa.DateTime(timezone=True)),
    sa.Column("request_id", sa.Text),
    sa.Column("request_digest", sa.Uuid),  # distinguishes a repeated request from another one with its request_id
    sa.Column("worker_id", sa.Text),
    sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.Column("lost_leases", sa.Integer, nullable=False, server_default="0"),
    sa.Column(
        "priority",
        sa.SmallInteger,
        sa.CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
        nullable=False,
        server_default="0",
    ),
    sa.Column("concurrency_key", sa.Text),
    sa.Column("schedule_id", sa.BigInteger),
    sa.Column("nominal_time", sa.DateTime(timezone=True)),
    sa.Column("is_next", sa.Boolean, nullable=False, server_default="false"),
    # A caller deleted it before its time came: its nominal time stays taken.
    sa.Column("is_refused", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("local_time", sa.DateTime),
    sa.Column("time_zone", sa.Text),
    # Claims: the due tasks of one queue, in order; those with a priority; and the quarantined ones.
    _index("due", "queue", DUE_AT, "task_id", where=ORDINARY),
    _index("urgent", "queue", "priority", DUE_AT, "task_id", where=URGENT),
    _index("quarantined", "queue", DUE_AT, "task_id", where=QUARANTINED),
    # Claims within limits per key: the waiting tasks of a key, and its running ones.
    _index("waiting_key", "queue", "concurrency_key", "priority", DUE_AT, "task_id", where=WAITING_WITH_KEY),
    _index("running_key", "queue", "concurrency_key", where="status = 'running' AND concurrency_key IS NOT NULL"),
    # Claims: those that came to wait behind what a worker has taken already.
    _index("early", "queue", "updated_at", where=EARLY),
    # Schedules: their next occurrences in the order in which they are due, one at most of each; the unfinished tasks of
    # one schedule; and one task at most per nominal time.
    _index("next", "queue", DUE_AT, "task_id", where="is_next"),
    # Claims by queue do not ask for the schedule, so that no plan takes this one for them.
    sa.Index(
        "tasks_next_key", "schedule_id", unique=True, postgresql_where=sa.text("is_next AND schedule_id IS NOT NULL")
    ),
    _index("unfinished", "schedule_id", where=f"schedule_id IS NOT NULL AND {UNFINISHED}"),
    sa.Index(
        "tasks_nominal_time_key",
        "schedule_id",
        "nominal_time",
        unique=True,
        postgresql_where=sa.text(f"schedule_id IS NOT NULL AND {TAKES_NOMINAL_TIME}"),
    ),
    # Tasks with a local time, which move when the time zone database changes.
    _index("local_time", "task_id", where="time_zone IS NOT NULL AND status = 'pending'"),
    # Sweeps: expired leases.
    _index("lease", "lease_expires_at", where="status = 'running'"),
    sa.Index("tasks_request_id_key", "request_id", unique=True, postgresql_where=sa.text("request_id IS NOT NULL")),
    # Lists, by each filter in the order of execution; see `store.tasks.page`. Every change of status writes to each
    # index that then has the task, so none repeats another: running tasks are found by their lease, the waiting tasks
    # of a queue by the indexes of claims.
    _index("status", "status", "execution_time", "task_id", where=NOT_RUNNING),
    # For beginnings of names, whatever the collation.
    _index("name", "name", "execution_time", "task_id", where=NOT_RUNNING, postgresql_ops={"name": "text_pattern_ops"}),
    _index("queue", "queue", "execution_time", "task_id", where=FINISHED),
    # In an order that no other index of these tasks has: a plan cannot prefer a wrong one.
    _index("schedule", "schedule_id", DUE_AT, "task_id", where=f"schedule_id IS NOT NULL AND {NOT_RUNNING}"),
    _index("key", "concurrency_key", DUE_AT, "task_id", where=f"concurrency_key IS NOT NULL AND {NOT_RUNNING}"),
    # Retention, of tasks that finish before they are due.
    _index("cancelled", "updated_at", "task_id", where="status = 'cancelled'"),
)

task_logs = sa.Table(
    "task_logs",
    metadata,
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
    sa.Column("xid", XID8, nullable=False, server_default=sa.text("pg_current_xact_id()")),
    sa.Index("task_logs_xid_idx", "xid"),
    sa.Index("task_logs_log_id_idx", "log_id"),
    # By time, so that retention drops a partition instead of deleting rows. No foreign key: a log outlives its task.
    postgresql_partition_by="RANGE (timestamp)",
)

feed_floor = sa.Table(
    "feed_floor",
    metadata,
    # The last transaction whose rows were deleted in part: a watch that has not seen it cannot resume.
    sa.Column("xid", XID8, nullable=False),
    sa.Column(
        "is_only", sa.Boolean, sa.CheckConstraint("is_only", name="is_only"), primary_key=True, server_default="true"
    ),
)

feed_marks = sa.Table(
    "feed_marks",
    metadata,
    # Every transaction above `xid`, which is the one that noted the mark, has only log rows above `log_id`.
    sa.Column("xid", XID8, primary_key=True),
    sa.Column("log_id", sa.BigInteger, nullable=False),
    sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")),
)

feed_histories = sa.Table(
    "feed_histories",
    metadata,
    # The lives of this database, each from a start or promotion of PostgreSQL to the next. Ids of transactions mean the
    # same within one; all that began in it are above `first_xid`. Those of a copied database have another database_id.
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("history_id", sa.Uuid, nullable=False, unique=True, server_default=sa.text("gen_random_uuid()")),
    sa.Column("database_id", sa.Text, nullable=False),
    sa.Column("timeline", sa.Text, nullable=False),
    sa.Column("postmaster_started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("first_xid", XID8, nullable=False),
    sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.UniqueConstraint("database_id", "timeline", "postmaster_started_at"),
)

queues = sa.Table(
    "queues",
    metadata,
    # Limited queues alone: a queue without a row is neither paused nor limited.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("is_paused", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("max_running", sa.Integer),
    sa.Column("max_per_second", sa.Double),
    sa.Column("max_running_per_key", sa.Integer),
    sa.Column("max_per_second_per_key", sa.Double),
    # The token bucket of max_per_second: how many tasks could start at tokens_at.
    sa.Column("tokens", sa.Double, nullable=False, server_default="0"),
    sa.Column("tokens_at", sa.DateTime(timezone=True), nullable=False, server_default="epoch"),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)

queue_keys = sa.Table(
    "queue_keys",
    metadata,
    # The token buckets of max_per_second_per_key, of which a full one needs no row; and the keys with due tasks that
    # claims left.
    sa.Column("queue", sa.Text, primary_key=True),
    sa.Column("concurrency_key", sa.Text, primary_key=True),
    sa.Column("tokens", sa.Double, nullable=False),
    sa.Column("tokens_at", sa.DateTime(timezone=True), nullable=False),
    # When a claim looks for tasks of the key again; in the year 9999, once a run of it ends. NULL if none was left.
    sa.Column("waits_until", sa.DateTime(timezone=True)),
    sa.Index("queue_keys_tokens_at_idx", "tokens_at"),
    sa.Index("queue_keys_idle_idx", "queue", "tokens_at", postgresql_where=sa.text("waits_until IS NULL")),
    sa.Index("queue_keys_waiting_idx", "queue", "waits_until", postgresql_where=sa.text("waits_until IS NOT NULL")),
)

queue_logs = sa.Table(
    "queue_logs",
    metadata,
    # The queue's row is locked while a log row is written, so that those of one queue are in commit order.
    sa.Column("log_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("changes", postgresql.JSONB, nullable=False),  # a list of [field, before, after]
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Index("queue_logs_queue_idx", "queue", "log_id"),
    sa.Index("queue_logs_timestamp_idx", "timestamp"),
)

workers = sa.Table(
    "workers",
    metadata,
    # Workers as they describe themselves in heartbeats. For people only: nothing else depends on it.
    sa.Column("worker_id", sa.Text, primary_key=True),
    sa.Column("queues", postgresql.ARRAY(sa.Text), nullable=False),
    sa.Column("handlers", postgresql.ARRAY(sa.Text), nullable=False),
    sa.Column("concurrency", sa.Integer, nullable=False),
    sa.Column("running", sa.Integer, nullable=False),
    sa.Column("rates", postgresql.JSONB, nullable=False),  # queue → runs begun a second, since the last heartbeat
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("last_heartbeat_at", sa.DateTime(timezone=True), nullable=False),
    # False for versions of the worker that do not announce their users' handlers.
    sa.Column("announces", sa.Boolean, nullable=False, server_default="false"),
)

handlers = sa.Table(
    "handlers",
    metadata,
    # Users' handlers, as their workers announce them; the retries are NULL for a handler without defaults.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("max_retries", sa.Integer),
    sa.Column("initial_backoff", sa.Interval),
    sa.Column("max_backoff", sa.Interval),
    sa.Column("multiplier", sa.Double),
    sa.Column("jitter", sa.Double),
    sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
)
