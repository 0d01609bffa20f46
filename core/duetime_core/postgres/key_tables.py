"""The table of API keys, as `schema` has all others."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from duetime_core.postgres import namespace_tables, tables

api_keys = sa.Table(
    "api_keys",
    tables.metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    # The order in which they were created.
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
    # Of the secret, which is nowhere.
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("may_read_payloads", sa.Boolean, nullable=False),
    sa.Column("handlers", postgresql.ARRAY(sa.Text)),  # NULL: all
    sa.Column("queues", postgresql.ARRAY(sa.Text)),  # NULL: all
    sa.Column("actor", sa.Text, nullable=False),  # the same for a key and those that replaced it
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", sa.DateTime(timezone=True)),  # NULL: never
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
    sa.Column("replaced_by", sa.Text),
    sa.Column("last_used_at", sa.DateTime(timezone=True)),
    sa.Column("last_used_from", sa.Text),
    namespace_tables.column(),
    sa.Index("api_keys_number_idx", "namespace_id", "number", unique=True),
    # The admin keys, which are locked before one is revoked.
    sa.Index(
        "api_keys_admins_idx",
        "namespace_id",
        "key_id",
        postgresql_where=sa.text("role = 'admin' AND revoked_at IS NULL"),
    ),
)
