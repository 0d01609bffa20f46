"""Indexes for lists of audit events by kind, actor and key."""

from alembic import op

from duetime_core.postgres import index_builds

revision = "0024"
down_revision = "0023"


def prepare() -> None:
    """Builds the indexes, while others read and write."""
    index_builds.build("audit_events_kind_idx", "audit_events", "(kind, greatest(event_id))")
    for name, column in {"actor": "actor", "key": "key_id"}.items():
        definition = f"({column}, greatest(event_id)) WHERE {column} IS NOT NULL"
        index_builds.build(f"audit_events_{name}_idx", "audit_events", definition)
    op.execute("ANALYZE audit_events")  # expressions have no statistics until then


def upgrade() -> None:
    """Applies it: all is prepared."""


def downgrade() -> None:
    """Reverts it."""
    for name in ("key", "actor", "kind"):
        op.drop_index(f"audit_events_{name}_idx", "audit_events")
