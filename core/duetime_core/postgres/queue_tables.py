"""The tables of queues, of workers and of their handlers, as `schema` has all others."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from duetime_core.postgres import namespace_tables, tables

queues = sa.Table(
    "queues",
    tables.metadata,
    # Limited queues alone: a queue without a row is neither paused nor limited.
    namespace_tables.column(is_key=True),
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
    tables.metadata,
    # The token buckets of max_per_second_per_key, of which a full one needs no row; and the keys with due tasks that
    # claims left.
    namespace_tables.column(is_key=True),
    sa.Column("queue", sa.Text, primary_key=True),
    sa.Column("concurrency_key", sa.Text, primary_key=True),
    sa.Column("tokens", sa.Double, nullable=False),
    sa.Column("tokens_at", sa.DateTime(timezone=True), nullable=False),
    # When a claim looks for tasks of the key again; in the year 9999, once a run of it ends. NULL if none was left.
    sa.Column("waits_until", sa.DateTime(timezone=True)),
    sa.Index("queue_keys_tokens_at_idx", "tokens_at"),
    *(
        sa.Index(f"queue_keys_{name}_idx", "namespace_id", "queue", column, postgresql_where=sa.text(condition))
        for name, column, condition in (
            ("idle", "tokens_at", "waits_until IS NULL"),
            ("waiting", "waits_until", "waits_until IS NOT NULL"),
        )
    ),
)

queue_logs = sa.Table(
    "queue_logs",
    tables.metadata,
    # The queue's row is locked while a log row is written, so that those of one queue are in commit order.
    sa.Column("log_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("changes", postgresql.JSONB, nullable=False),  # a list of [field, before, after]
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    namespace_tables.column(),
    sa.Index("queue_logs_queue_idx", "namespace_id", "queue", "log_id"),
    sa.Index("queue_logs_timestamp_idx", "timestamp"),
)

workers = sa.Table(
    "workers",
    tables.metadata,
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
    sa.Column("free_slots", sa.Integer),  # NULL for versions that do not report them
    namespace_tables.column(),
)

handlers = sa.Table(
    "handlers",
    tables.metadata,
    # Users' handlers, as their workers announce them; the retries are NULL for a handler without defaults.
    namespace_tables.column(is_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("max_retries", sa.Integer),
    sa.Column("initial_backoff", sa.Interval),
    sa.Column("max_backoff", sa.Interval),
    sa.Column("multiplier", sa.Double),
    sa.Column("jitter", sa.Double),
    sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
)
