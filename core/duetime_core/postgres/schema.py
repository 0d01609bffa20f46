"""The tables, as Alembic compares them with the migrations. `model.task` documents their columns."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from duetime_core.model import task
from duetime_core.postgres import (
    audit_tables,
    key_tables,
    log_tables,
    namespace_tables,
    queue_tables,
    schedule_tables,
    tables,
)

MAX_TASK_ID = tables.MAX_ID


metadata = tables.metadata
"""With the tables of namespaces, of queues, of schedules, of the log, of API keys and of audit events."""
_OTHERS = (
    namespace_tables.namespaces,
    queue_tables.queues,
    schedule_tables.schedules,
    log_tables.task_logs,
    key_tables.api_keys,
    audit_tables.audit_events,
)
assert all(table.metadata is metadata for table in _OTHERS)

LISTED_AT = "greatest(execution_time)"
"""The execution_time, as lists order by it that no other index serves: a plan cannot prefer a wrong one."""

NOT_DELETED = "deleted_at IS NULL"
LISTED = "priority >= 0"
"""Holds for all tasks, and only lists say so: otherwise PostgreSQL might look up a task_id through the index of a list,
which costs as much as through the primary key while tasks are few, and reads all of it once they are many."""
ENDED_LISTED = f"{NOT_DELETED} AND {LISTED}"
QUARANTINED = f"lost_leases > {task.QUARANTINE_LEASES - 1}"
NOT_QUARANTINED = f"lost_leases < {task.QUARANTINE_LEASES}"
ORDINARY = f"{NOT_QUARANTINED} AND NOT is_next AND level = 0"
URGENT = f"{NOT_QUARANTINED} AND NOT is_next AND level > 0"
WITH_KEY = f"{NOT_QUARANTINED} AND NOT is_next AND concurrency_key IS NOT NULL"
"""Conditions on rows of `waiting`, as the indexes of claims have them."""
RETURNED = 1
"""The level of tasks that were released or lost their lease: they are claimed before ordinary ones."""
MAX_LEVEL = task.MAX_PRIORITY + RETURNED
_FINISHED = ", ".join(f"'{status}'" for status in sorted(task.FINISHED))

_HOT = {"autovacuum_vacuum_scale_factor": "0", "autovacuum_analyze_scale_factor": "0.02"}
"""Vacuum by numbers: a share of a table that is small most of the time, and huge before a burst, fits neither."""


def _index(table: str, name: str, *columns: str, where: str | None = None, **others: Any) -> sa.Index:
    """Returns an index of the rows that match."""
    expressions = (sa.text(column) if "(" in column else column for column in columns)
    condition = None if where is None else sa.text(where)
    return sa.Index(f"{table}_{name}_idx", *expressions, postgresql_where=condition, **others)


def _task_columns() -> list[sa.Column[Any]]:
    """Returns the columns that tasks have before and after they end."""
    return [
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("execution_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task_data", postgresql.JSONB),  # NULL if it is in `payloads`
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
        sa.Column("lost_leases", sa.Integer, nullable=False, server_default="0"),
        sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("concurrency_key", sa.Text),
        sa.Column("schedule_id", sa.BigInteger),
        sa.Column("nominal_time", sa.DateTime(timezone=True)),
        sa.Column("local_time", sa.DateTime),
        sa.Column("time_zone", sa.Text),
        namespace_tables.column(),
    ]


tasks = sa.Table(
    "tasks",
    metadata,
    # Tasks that have not ended, written when they are created: pending ones have a row in `waiting`, the others run.
    sa.Column("task_id", sa.BigInteger, sa.Identity(always=True, maxvalue=MAX_TASK_ID), primary_key=True),
    *_task_columns(),
    sa.CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
    # Lists, by each filter in the order of execution; see `store.tasks.page`.
    _index("tasks", "execution_time", "namespace_id", LISTED_AT, "task_id", where=LISTED),
    _index(
        "tasks",
        "name",
        "namespace_id",
        "name",
        "execution_time",
        "task_id",
        where=LISTED,
        postgresql_ops={"name": "text_pattern_ops"},
    ),
    _index("tasks", "queue", "namespace_id", "queue", "execution_time", "task_id", where=LISTED),
    # By the schedule first: the overlap of runs is looked up without the namespace.
    _index("tasks", "schedule", "schedule_id", "namespace_id", LISTED_AT, "task_id", where="schedule_id IS NOT NULL"),
    _index(
        "tasks", "key", "namespace_id", "concurrency_key", LISTED_AT, "task_id", where="concurrency_key IS NOT NULL"
    ),
    # Tasks with a local time, which move when the time zone database changes.
    _index("tasks", "local_time", "namespace_id", "task_id", where="time_zone IS NOT NULL"),
    postgresql_with={**_HOT, "autovacuum_vacuum_threshold": "20000"},
)

waiting = sa.Table(
    "waiting",
    metadata,
    # Pending tasks, as claims read them. Each change of one writes this row first: it decides between them.
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("queue", sa.Text, nullable=False),
    # The execution_time, or when the row was written if that was later: claims never have to look before what they
    # have passed.
    sa.Column("ready_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),  # the task's
    sa.Column("level", sa.SmallInteger, nullable=False),  # 0, RETURNED, or the priority + RETURNED
    sa.Column("lost_leases", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("is_next", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("concurrency_key", sa.Text),
    sa.Column("schedule_id", sa.BigInteger),
    namespace_tables.column(),
    # Claims: the due tasks of one queue, in order; those of a higher level; the quarantined ones; and those of a key.
    _index("waiting", "due", "namespace_id", "queue", "ready_at", "task_id", where=ORDINARY),
    _index("waiting", "urgent", "namespace_id", "queue", "level", "ready_at", "task_id", where=URGENT),
    _index("waiting", "quarantined", "namespace_id", "queue", "ready_at", "task_id", where=QUARANTINED),
    _index(
        "waiting", "key", "namespace_id", "queue", "concurrency_key", "level", "ready_at", "task_id", where=WITH_KEY
    ),
    # Schedules: their next occurrences in the order in which they are due, and one each.
    _index("waiting", "next", "namespace_id", "queue", "ready_at", "task_id", where="is_next"),
    # Claims by queue do not ask for the schedule, so that no plan takes this one for them.
    sa.Index(
        "waiting_next_key", "schedule_id", unique=True, postgresql_where=sa.text("is_next AND schedule_id IS NOT NULL")
    ),
    postgresql_with={**_HOT, "autovacuum_vacuum_threshold": "20000"},
)

leases = sa.Table(
    "leases",
    metadata,
    # The tasks of one claim, with their versions: those that still have it run. The others have ended.
    sa.Column("lease_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("worker_id", sa.Text, nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("task_ids", postgresql.ARRAY(sa.BigInteger), nullable=False),
    sa.Column("versions", postgresql.ARRAY(sa.Integer), nullable=False),
    sa.Column("is_quarantined", sa.Boolean, nullable=False, server_default="false"),
    # Of each task: see `store.leases`.
    sa.Column("concurrency_keys", postgresql.ARRAY(sa.Text)),
    namespace_tables.column(),
    _index("leases", "expires_at", "expires_at"),
    postgresql_with={**_HOT, "autovacuum_vacuum_threshold": "5000"},
)

lease_floor = sa.Table(
    "lease_floor",
    metadata,
    # No lease expires before it: what reads leases begins there, and not at those that ended long ago.
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column(
        "is_only", sa.Boolean, sa.CheckConstraint("is_only", name="is_only"), primary_key=True, server_default="true"
    ),
)

claim_floors = sa.Table(
    "claim_floors",
    metadata,
    # Where the claims of a queue have arrived, by level: new workers and counts begin there. Noted by workers.
    namespace_tables.column(is_key=True),
    sa.Column("queue", sa.Text, primary_key=True),
    sa.Column("times", postgresql.ARRAY(sa.DateTime(timezone=True)), nullable=False),
)

ended_tasks = sa.Table(
    "ended_tasks",
    metadata,
    # Tasks that ended, by when they did, so that retention drops a partition instead of deleting rows.
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("status", sa.Text, sa.CheckConstraint(f"status IN ({_FINISHED})", name="status"), nullable=False),
    *_task_columns(),
    sa.Column("result", postgresql.JSONB),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.Column("ended_at", sa.DateTime(timezone=True), primary_key=True),
    _index("ended_tasks", "status", "namespace_id", "status", "execution_time", "task_id", where=ENDED_LISTED),
    _index(
        "ended_tasks",
        "name",
        "namespace_id",
        "name",
        "execution_time",
        "task_id",
        where=ENDED_LISTED,
        postgresql_ops={"name": "text_pattern_ops"},
    ),
    _index("ended_tasks", "queue", "namespace_id", "queue", "execution_time", "task_id", where=ENDED_LISTED),
    _index(
        "ended_tasks",
        "schedule",
        "schedule_id",
        "namespace_id",
        LISTED_AT,
        "task_id",
        where=f"schedule_id IS NOT NULL AND {ENDED_LISTED}",
    ),
    _index(
        "ended_tasks",
        "key",
        "namespace_id",
        "concurrency_key",
        LISTED_AT,
        "task_id",
        where=f"concurrency_key IS NOT NULL AND {ENDED_LISTED}",
    ),
    postgresql_partition_by="RANGE (ended_at)",
)

payloads = sa.Table(
    "payloads",
    metadata,
    # Large task_data of tasks and ended_tasks: a task that ends is moved without it. See `store.tasks.payloads`.
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("task_data", postgresql.JSONB, nullable=False),
)

request_ids = sa.Table(
    "request_ids",
    metadata,
    # A partitioned table cannot keep them unique.
    namespace_tables.column(is_key=True),
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    # Distinguishes a repeated request from another one with its request_id.
    sa.Column("digest", sa.Uuid),
)

nominal_times = sa.Table(
    "nominal_times",
    metadata,
    # Those that have a task, or had one that a caller refused: each is done.
    sa.Column("schedule_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("nominal_time", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("task_id", sa.BigInteger, nullable=False),
)
