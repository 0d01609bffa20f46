"""Names are unique within a namespace, and lists and claims read an index of one namespace alone.

`prepare` builds these indexes beside the present ones, which servers and workers of the release before need. The
migration itself puts them in their place: from then on, `ON CONFLICT (name)` of that release is refused.
"""

from typing import NamedTuple

from alembic import op

from duetime_core.postgres import index_builds

revision = "0026"
down_revision = "0025"
locks = (
    *("tasks", "waiting", "ended_tasks", "claim_floors", "next_floors", "request_ids"),
    *("queues", "queue_keys", "queue_logs", "handlers"),
    *("schedules", "schedule_logs", "api_keys", "audit_events"),
)
stops = True


class _Index(NamedTuple):
    table: str
    name: str
    present: str | None
    """Its definition until now; None if there was none."""
    following: str
    is_unique: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.table}_{self.name}"


_DUE = "greatest(execution_time), task_id"
_ORDER = "execution_time, task_id"
_READY = "ready_at, task_id"
_ORDINARY = "WHERE lost_leases < 2 AND NOT is_next AND level = 0"
_URGENT = "WHERE lost_leases < 2 AND NOT is_next AND level > 0"
_WITH_KEY = "WHERE lost_leases < 2 AND NOT is_next AND concurrency_key IS NOT NULL"
_KEPT = "deleted_at IS NULL"
_LISTED = f"{_KEPT} AND priority >= 0"
_QUEUE = "((template ->> 'queue'::text))"
_EVENT, _SCHEDULE = "greatest(event_id)", "greatest(schedule_id)"


def _within(table: str, name: str, columns: str, where: str = "", following_where: str = "") -> _Index:
    """Returns an index that begins with the namespace from now on."""
    return _Index(table, name, f"({columns}) {where}", f"(namespace_id, {columns}) {following_where or where}")


_INDEXES = [
    _within("tasks", "execution_time_idx", _DUE, "WHERE priority >= 0"),
    _within("tasks", "name_idx", f"name text_pattern_ops, {_ORDER}", "WHERE priority >= 0"),
    _within("tasks", "queue_idx", f"queue, {_ORDER}", "WHERE priority >= 0"),
    _Index(
        "tasks",
        "schedule_idx",
        f"(schedule_id, {_DUE}) WHERE schedule_id IS NOT NULL",
        f"(schedule_id, namespace_id, {_DUE}) WHERE schedule_id IS NOT NULL",
    ),
    _within("tasks", "key_idx", f"concurrency_key, {_DUE}", "WHERE concurrency_key IS NOT NULL"),
    _within("tasks", "local_time_idx", "task_id", "WHERE time_zone IS NOT NULL"),
    _within("waiting", "due_idx", f"queue, {_READY}", _ORDINARY),
    _within("waiting", "urgent_idx", f"queue, level, {_READY}", _URGENT),
    _within("waiting", "quarantined_idx", f"queue, {_READY}", "WHERE lost_leases > 1"),
    _within("waiting", "key_idx", f"queue, concurrency_key, level, {_READY}", _WITH_KEY),
    _within("waiting", "next_idx", f"queue, {_READY}", "WHERE is_next"),
    _within("ended_tasks", "status_idx", f"status, {_ORDER}", f"WHERE {_KEPT}", f"WHERE {_LISTED}"),
    _within("ended_tasks", "name_idx", f"name text_pattern_ops, {_ORDER}", f"WHERE {_KEPT}", f"WHERE {_LISTED}"),
    _within("ended_tasks", "queue_idx", f"queue, {_ORDER}", f"WHERE {_KEPT}", f"WHERE {_LISTED}"),
    _Index(
        "ended_tasks",
        "schedule_idx",
        f"(schedule_id, {_DUE}) WHERE schedule_id IS NOT NULL AND {_KEPT}",
        f"(schedule_id, namespace_id, {_DUE}) WHERE schedule_id IS NOT NULL AND {_LISTED}",
    ),
    _within(
        "ended_tasks",
        "key_idx",
        f"concurrency_key, {_DUE}",
        f"WHERE concurrency_key IS NOT NULL AND {_KEPT}",
        f"WHERE concurrency_key IS NOT NULL AND {_LISTED}",
    ),
    _within("queue_keys", "idle_idx", "queue, tokens_at", "WHERE waits_until IS NULL"),
    _within("queue_keys", "waiting_idx", "queue, waits_until", "WHERE waits_until IS NOT NULL"),
    _within("queue_logs", "queue_idx", "queue, log_id"),
    _Index("schedules", "namespace_idx", None, f"(namespace_id, schedule_id) WHERE {_KEPT}"),
    _within("schedules", "name_idx", f"name, {_SCHEDULE}", f"WHERE {_KEPT}"),
    _within("schedules", "queue_idx", f"{_QUEUE}, {_SCHEDULE}", f"WHERE {_KEPT}"),
    _within("schedules", "paused_idx", f"is_paused, {_SCHEDULE}", f"WHERE {_KEPT}"),
    _within("schedules", "request_id_key", "request_id", "WHERE request_id IS NOT NULL")._replace(is_unique=True),
    _Index("schedule_logs", "schedule_id_idx", "(schedule_id, log_id)", "(schedule_id, namespace_id, log_id)"),
    _within("api_keys", "number_idx", "number")._replace(is_unique=True),
    _within("api_keys", "admins_idx", "key_id", "WHERE role = 'admin' AND revoked_at IS NULL"),
    _Index("audit_events", "namespace_idx", None, "(namespace_id, event_id)"),
    _within("audit_events", "kind_idx", f"kind, {_EVENT}"),
    _within("audit_events", "actor_idx", f"actor, {_EVENT}", "WHERE actor IS NOT NULL"),
    _within("audit_events", "key_idx", f"key_id, {_EVENT}", "WHERE key_id IS NOT NULL"),
]
_KEYS = {
    "queues": "name",
    "queue_keys": "queue, concurrency_key",
    "claim_floors": "queue",
    "next_floors": "queue",
    "request_ids": "request_id",
    "handlers": "name",
}
"""Primary keys that are names."""
_REQUIRE_ONE_NAMESPACE = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM namespaces WHERE namespace_id <> 1) THEN
        RAISE EXCEPTION 'there are several namespaces: without them, each would see what the others have';
    END IF;
END $$
"""


def prepare() -> None:
    """Builds the indexes, while others read and write."""
    for index in _INDEXES:
        index_builds.build(f"{index.full_name}_new", index.table, index.following, unique=index.is_unique)
    for table, columns in _KEYS.items():
        index_builds.build(f"{table}_pkey_new", table, f"(namespace_id, {columns})", unique=True)
    op.execute("ANALYZE tasks, ended_tasks, schedules, audit_events")  # expressions have no statistics until then


def upgrade() -> None:
    """Applies it, in an instant: each index takes the place of another."""
    for index in _INDEXES:
        if index.present is not None:
            op.drop_index(index.full_name, index.table)
        op.execute(f"ALTER INDEX {index.full_name}_new RENAME TO {index.full_name}")
    for table in _KEYS:
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, "
            f"ADD CONSTRAINT {table}_pkey PRIMARY KEY USING INDEX {table}_pkey_new"
        )


def downgrade() -> None:
    """Reverts it. Raises an error while there are several namespaces."""
    op.execute(_REQUIRE_ONE_NAMESPACE)
    for index in _INDEXES:
        op.drop_index(index.full_name, index.table)
        if index.present is not None:
            unique = "UNIQUE " if index.is_unique else ""
            op.execute(f"CREATE {unique}INDEX {index.full_name} ON {index.table} {index.present}")
    for table, columns in _KEYS.items():
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD CONSTRAINT {table}_pkey PRIMARY KEY ({columns})"
        )
