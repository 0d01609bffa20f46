"""The table of audit events, as `schema` has all others."""

import sqlalchemy as sa

from duetime_core.postgres import tables

LISTED_ID = "greatest(event_id)"
"""The event_id, as lists with a filter order by it: no plan can walk the primary key through all other events."""

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
    # Lists with a filter.
    sa.Index("audit_events_kind_idx", "kind", sa.text(LISTED_ID)),
    sa.Index("audit_events_actor_idx", "actor", sa.text(LISTED_ID), postgresql_where=sa.text("actor IS NOT NULL")),
    sa.Index("audit_events_key_idx", "key_id", sa.text(LISTED_ID), postgresql_where=sa.text("key_id IS NOT NULL")),
    # Retention.
    sa.Index("audit_events_timestamp_idx", "timestamp"),
)
