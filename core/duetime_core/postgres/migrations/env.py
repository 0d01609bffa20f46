"""Alembic's environment, which runs on the connection that `duetime_core.migrate` passes."""

from typing import Any

from alembic import context
from sqlalchemy.dialects.postgresql import base as postgresql

from duetime_core.postgres import schema, tables


def _is_ours(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
    # The partitions of task_logs change over time; see `store.log.partitions`.
    return kind != "table" or not (name or "").startswith(("task_logs_", "ended_tasks_"))


# Without this type, reflection warns and compares nothing.
postgresql.ischema_names["xid8"] = tables.XID8

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    include_object=_is_ours,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
