"""The table of namespaces, and the column by which rows belong to one; as `schema` has all others."""

import sqlalchemy as sa

from duetime_core.model import namespace
from duetime_core.postgres import tables

namespaces = sa.Table(
    "namespaces",
    tables.metadata,
    # `default`, the first one, always exists.
    sa.Column("namespace_id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)


def column(*, is_key: bool = False) -> sa.Column[int]:
    """Returns the column of a table whose rows belong to a namespace; `is_key` if its primary key begins with it."""
    return sa.Column(
        "namespace_id",
        sa.Integer,
        primary_key=is_key,
        autoincrement=False,
        nullable=False,
        server_default=str(namespace.DEFAULT),
    )


TENANT_TABLES = {
    *("tasks", "waiting", "ended_tasks", "leases", "claim_floors", "next_floors", "request_ids"),
    *("queues", "queue_keys", "queue_logs", "workers", "handlers"),
    *("schedules", "schedule_logs", "task_logs", "api_keys", "audit_events"),
}
"""The tables with that column. Those reached only through an id that was checked have none, as `payloads`; nor have
those about the database as a whole, as `feed_marks`."""
