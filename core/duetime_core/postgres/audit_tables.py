"""The table of audit events, as `schema` has all others."""

import sqlalchemy as sa

from duetime_core.postgres import namespace_tables, tables

LISTED_ID = "greatest(event_id)"
"""The event_id, as lists with a filter order by it: no plan can walk another index through all other events."""

audit_events = sa.Table(
    "audit_events",
    tables.metadata,
    # Rows are only added, and deleted by retention: `roles` lets servers and workers do nothing else.
    sa.Column("event_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    # That of several refused calls, of which `timestamp` is the last one's.
    sa.Column("first_timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("calls", sa.Integer, nullable=False, server_default="1"),
    sa.Column("actor", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("key_id", sa.Text),
    sa.Column("method", sa.Text),
    sa.Column("reason", sa.Text),
    namespace_tables.column(),
    # Lists, of all and by each filter.
    sa.Index("audit_events_namespace_idx", "namespace_id", "event_id"),
    sa.Index("audit_events_kind_idx", "namespace_id", "kind", sa.text(LISTED_ID)),
    *(
        sa.Index(
            f"audit_events_{name}_idx",
            "namespace_id",
            column,
            sa.text(LISTED_ID),
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
        for name, column in (("actor", "actor"), ("key", "key_id"))
    ),
    # Retention.
    sa.Index("audit_events_timestamp_idx", "timestamp"),
)
