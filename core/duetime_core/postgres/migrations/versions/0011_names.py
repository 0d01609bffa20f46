"""The final names: of a change in the log, of columns, and of indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
locks = ("workers", "queues", "queue_keys", "tasks")

_COLUMNS = {
    "workers": {"places": "concurrency", "last_seen_at": "last_heartbeat_at"},
    "queues": {"allowance": "tokens", "allowance_at": "tokens_at"},
    "queue_keys": {"allowance": "tokens", "allowance_at": "tokens_at"},
}
_INDEXES = {
    "tasks_suspects_idx": "tasks_quarantined_idx",
    "queue_keys_allowance_at_idx": "queue_keys_tokens_at_idx",
}


def prepare() -> None:
    """Reads the whole log, and rewrites its rows with that change."""
    _rename_change("handed_back", "released")


def upgrade() -> None:
    """Applies it, in an instant."""
    for table, columns in _COLUMNS.items():
        for before, after in columns.items():
            op.alter_column(table, before, new_column_name=after)
    for before, after in _INDEXES.items():
        _rename_index(before, after)
    op.drop_index("tasks_name_idx", "tasks")
    _rename_index("tasks_name_idx_new", "tasks_name_idx")


def downgrade() -> None:
    """Reverts it."""
    _rename_index("tasks_name_idx", "tasks_name_idx_new")
    where = sa.text("status <> 'running'")
    op.create_index("tasks_name_idx", "tasks", ["name", "execution_time", "task_id"], postgresql_where=where)
    for before, after in _INDEXES.items():
        _rename_index(after, before)
    for table, columns in _COLUMNS.items():
        for before, after in columns.items():
            op.alter_column(table, after, new_column_name=before)
    _rename_change("released", "handed_back")


def _rename_change(before: str, after: str) -> None:
    # A row keeps its xid, so watches do not see it again.
    statement = sa.text("UPDATE task_logs SET change = :after WHERE change = :before")
    op.execute(statement.bindparams(before=before, after=after))


def _rename_index(before: str, after: str) -> None:
    op.execute(f"ALTER INDEX {before} RENAME TO {after}")
