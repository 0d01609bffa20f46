"""The table of audit events, as `schema` has all others."""

import sqlalchemy as sa

from duetime_core.postgres import tables

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
    # Retention.
    sa.Index("audit_events_timestamp_idx", "timestamp"),
)
