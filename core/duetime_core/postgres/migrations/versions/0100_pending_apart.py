# ruff: noqa: E501, S608
"""Pending tasks and leases in tables of their own, and finished tasks in partitions by when they ended.

`prepare` copies all tasks while processes of the release before serve; a trigger copies each change meanwhile. The
migration itself writes running tasks alone. The rows of finished tasks, which were copied, are deleted afterwards: see
`store.log.retention`.
"""

import sqlalchemy as sa
import structlog
from alembic import op
from sqlalchemy.dialects import postgresql

from duetime_core.postgres import index_builds, table_locks

revision = "0100"
down_revision = "0017"
locks = ("tasks",)

_BATCH = 5_000
_log = structlog.get_logger()

_SHARED = """name, queue, execution_time, task_data, error_message, retry_count, max_retries, retry_initial_backoff,
    retry_max_backoff, retry_multiplier, retry_jitter, timeout, version, created_at, updated_at, executed_at, request_id,
    lost_leases, priority, concurrency_key, schedule_id, nominal_time, local_time, time_zone"""

_TABLES = """
CREATE TABLE IF NOT EXISTS waiting (
    task_id bigint PRIMARY KEY, queue text NOT NULL, ready_at timestamptz NOT NULL, version int NOT NULL,
    level smallint NOT NULL, lost_leases smallint NOT NULL DEFAULT 0, is_next boolean NOT NULL DEFAULT false,
    concurrency_key text, schedule_id bigint
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000);
CREATE INDEX IF NOT EXISTS waiting_due_idx ON waiting (queue, ready_at, task_id)
    WHERE lost_leases < 2 AND NOT is_next AND level = 0;
CREATE INDEX IF NOT EXISTS waiting_urgent_idx ON waiting (queue, level, ready_at, task_id)
    WHERE lost_leases < 2 AND NOT is_next AND level > 0;
CREATE INDEX IF NOT EXISTS waiting_quarantined_idx ON waiting (queue, ready_at, task_id) WHERE lost_leases > 1;
CREATE INDEX IF NOT EXISTS waiting_key_idx ON waiting (queue, concurrency_key, level, ready_at, task_id)
    WHERE lost_leases < 2 AND NOT is_next AND concurrency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS waiting_next_idx ON waiting (queue, ready_at, task_id) WHERE is_next;
CREATE UNIQUE INDEX IF NOT EXISTS waiting_next_key ON waiting (schedule_id) WHERE is_next;
CREATE TABLE IF NOT EXISTS leases (
    lease_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, worker_id text NOT NULL, queue text NOT NULL,
    started_at timestamptz NOT NULL, expires_at timestamptz NOT NULL, task_ids bigint[] NOT NULL, versions int[] NOT NULL,
    is_quarantined boolean NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
CREATE INDEX IF NOT EXISTS leases_expires_at_idx ON leases (expires_at);
CREATE TABLE IF NOT EXISTS lease_floor (
    expires_at timestamptz NOT NULL,
    is_only boolean DEFAULT true NOT NULL CONSTRAINT lease_floor_is_only_check CHECK (is_only), PRIMARY KEY (is_only)
);
INSERT INTO lease_floor VALUES ('epoch') ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS ended_tasks (
    task_id bigint NOT NULL, status text NOT NULL,
    name text NOT NULL, queue text NOT NULL, execution_time timestamptz NOT NULL, task_data jsonb NOT NULL,
    error_message text, retry_count int NOT NULL DEFAULT 0, max_retries int NOT NULL DEFAULT 3,
    retry_initial_backoff interval NOT NULL, retry_max_backoff interval NOT NULL, retry_multiplier float8 NOT NULL,
    retry_jitter float8 NOT NULL, timeout interval, version int NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), executed_at timestamptz,
    request_id text, lost_leases int NOT NULL DEFAULT 0, priority smallint NOT NULL DEFAULT 0, concurrency_key text,
    schedule_id bigint, nominal_time timestamptz, local_time timestamp, time_zone text,
    result jsonb, deleted_at timestamptz, ended_at timestamptz NOT NULL,
    CONSTRAINT ended_tasks_status_check CHECK (status IN ('cancelled', 'completed', 'failed')),
    PRIMARY KEY (task_id, ended_at)
) PARTITION BY RANGE (ended_at);
CREATE INDEX IF NOT EXISTS ended_tasks_status_idx ON ended_tasks (status, execution_time, task_id)
    WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS ended_tasks_name_idx ON ended_tasks (name text_pattern_ops, execution_time, task_id)
    WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS ended_tasks_queue_idx ON ended_tasks (queue, execution_time, task_id)
    WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS ended_tasks_schedule_idx ON ended_tasks (schedule_id, greatest(execution_time), task_id)
    WHERE schedule_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS ended_tasks_key_idx ON ended_tasks (concurrency_key, greatest(execution_time), task_id)
    WHERE concurrency_key IS NOT NULL AND deleted_at IS NULL;
CREATE TABLE IF NOT EXISTS ended_tasks_default PARTITION OF ended_tasks DEFAULT;
CREATE TABLE IF NOT EXISTS request_ids (request_id text PRIMARY KEY, task_id bigint NOT NULL, digest uuid);
CREATE TABLE IF NOT EXISTS nominal_times (
    schedule_id bigint NOT NULL, nominal_time timestamptz NOT NULL, task_id bigint NOT NULL,
    PRIMARY KEY (schedule_id, nominal_time)
);
CREATE TABLE IF NOT EXISTS copied (upto bigint NOT NULL);
"""

# Of one row of the release before: to where its present status belongs. A running task is turned by the migration.
_COPY = f"""
CREATE OR REPLACE FUNCTION copy_task(task tasks) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM waiting WHERE task_id = task.task_id;
    DELETE FROM ended_tasks WHERE task_id = task.task_id;
    IF task.status = 'pending' THEN
        INSERT INTO waiting VALUES (task.task_id, task.queue, greatest(task.execution_time, clock_timestamp()),
            task.version, CASE task.priority WHEN 0 THEN 0 ELSE task.priority + 1 END, task.lost_leases, task.is_next,
            task.concurrency_key, task.schedule_id);
    ELSIF task.status <> 'running' THEN
        INSERT INTO ended_tasks (task_id, status, {_SHARED}, result, deleted_at, ended_at)
        SELECT task.task_id, task.status, {", ".join("task." + column.strip() for column in _SHARED.split(","))},
            task.result, task.deleted_at, task.updated_at;
    END IF;
    IF task.request_id IS NOT NULL THEN
        INSERT INTO request_ids VALUES (task.request_id, task.task_id, task.request_digest) ON CONFLICT DO NOTHING;
    END IF;
    IF task.schedule_id IS NOT NULL THEN
        IF task.deleted_at IS NULL OR task.is_refused THEN
            INSERT INTO nominal_times VALUES (task.schedule_id, task.nominal_time, task.task_id)
            ON CONFLICT (schedule_id, nominal_time) DO UPDATE SET task_id = excluded.task_id;
        ELSE
            DELETE FROM nominal_times WHERE schedule_id = task.schedule_id AND nominal_time = task.nominal_time
                AND task_id = task.task_id;
        END IF;
    END IF;
END $$;
CREATE OR REPLACE FUNCTION copy_changed_task() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM waiting WHERE task_id = OLD.task_id;
        DELETE FROM ended_tasks WHERE task_id = OLD.task_id;
        DELETE FROM request_ids WHERE request_id = OLD.request_id AND task_id = OLD.task_id;
        DELETE FROM nominal_times
        WHERE schedule_id = OLD.schedule_id AND nominal_time = OLD.nominal_time AND task_id = OLD.task_id;
    ELSE
        IF TG_OP = 'UPDATE' AND OLD.nominal_time IS DISTINCT FROM NEW.nominal_time THEN
            DELETE FROM nominal_times
            WHERE schedule_id = OLD.schedule_id AND nominal_time = OLD.nominal_time AND task_id = OLD.task_id;
        END IF;
        PERFORM copy_task(NEW);
    END IF;
    RETURN NULL;
END $$;
"""
_HAS_TRIGGER = sa.text("SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'copy_changed' AND NOT tgisinternal)")
_TRIGGER = """
CREATE TRIGGER copy_changed AFTER INSERT OR DELETE OR UPDATE OF status, version, is_next, execution_time ON tasks
FOR EACH ROW EXECUTE FUNCTION copy_changed_task()
"""
_FIND_UPTO = sa.text("SELECT coalesce((SELECT upto FROM copied), 0)")
# The lock waits for a change in progress, whose trigger has copied the row, and reads what that left.
_COPY_BATCH = sa.text("""
WITH page AS MATERIALIZED (
    SELECT tasks FROM tasks WHERE task_id > :after ORDER BY task_id LIMIT :limit FOR NO KEY UPDATE
), done AS MATERIALIZED (
    SELECT (page.tasks).task_id, copy_task(page.tasks) FROM page
), noted AS (
    INSERT INTO copied SELECT max(task_id) FROM done HAVING count(*) > 0
), forgotten AS (
    DELETE FROM copied
)
SELECT max(task_id) FROM done
""")

_DROPPED_INDEXES = (
    "due",
    "urgent",
    "quarantined",
    "early",
    "next",
    "unfinished",
    "lease",
    "status",
    "name",
    "queue",
    "schedule",
    "key",
    "cancelled",
    "local_time",
    "waiting_key",
    "running_key",
)


def prepare() -> None:
    """Copies the tasks, while others read and write. Interrupted, it continues where it stopped."""
    connection = op.get_bind()
    op.execute(_TABLES)
    op.execute(_COPY)
    if not connection.execute(_HAS_TRIGGER).scalar_one():
        with table_locks.limited(connection):
            op.execute(_TRIGGER)
    after = connection.execute(_FIND_UPTO).scalar_one()
    while after is not None:
        upto = connection.execute(_COPY_BATCH, {"after": after, "limit": _BATCH}).scalar_one()
        if upto is not None:
            _log.info("tasks copied", upto=upto)
        after = upto
    for name, definition in _INDEXES.items():
        index_builds.build(f"tasks_{name}_idx2", "tasks", definition)


_INDEXES = {
    "execution_time": "(greatest(execution_time), task_id)",
    "name": "(name text_pattern_ops, execution_time, task_id)",
    "queue": "(queue, execution_time, task_id)",
    "schedule": "(schedule_id, greatest(execution_time), task_id) WHERE schedule_id IS NOT NULL",
    "key": "(concurrency_key, greatest(execution_time), task_id) WHERE concurrency_key IS NOT NULL",
    "local_time": "(task_id) WHERE time_zone IS NOT NULL",
}


def upgrade() -> None:
    """Applies it: running tasks get leases, and the rows of finished ones, which are copied, are deleted."""
    op.execute("DROP TRIGGER copy_changed ON tasks")
    op.execute("DROP FUNCTION copy_changed_task(), copy_task(tasks)")
    op.execute("DROP TABLE copied")
    # A running task has the version of its start; its row has the one before.
    op.execute("""
        WITH running AS (
            UPDATE tasks SET version = version - 1 WHERE status = 'running'
            RETURNING task_id, version, worker_id, queue, executed_at, lease_expires_at
        )
        INSERT INTO leases (worker_id, queue, started_at, expires_at, task_ids, versions)
        SELECT worker_id, queue, executed_at, max(lease_expires_at), array_agg(task_id), array_agg(version)
        FROM running GROUP BY worker_id, queue, executed_at
    """)
    # TODO(next): only mark them here, and delete them in batches afterwards.
    op.execute("DELETE FROM tasks WHERE status NOT IN ('pending', 'running')")
    for name in _DROPPED_INDEXES:
        op.execute(f"DROP INDEX IF EXISTS tasks_{name}_idx")
    op.execute("DROP INDEX IF EXISTS tasks_nominal_time_key, tasks_request_id_key, tasks_next_key")
    for name in _INDEXES:
        op.execute(f"ALTER INDEX tasks_{name}_idx2 RENAME TO tasks_{name}_idx")
    for column in (
        "status",
        "result",
        "request_digest",
        "worker_id",
        "lease_expires_at",
        "deleted_at",
        "is_next",
        "is_refused",
    ):
        op.drop_column("tasks", column)
    op.execute("""ALTER TABLE tasks SET (autovacuum_vacuum_scale_factor = 0, autovacuum_analyze_scale_factor = 0.02,
        autovacuum_vacuum_threshold = 20000, fillfactor = 100)""")


def downgrade() -> None:
    """Reverts it."""
    op.add_column("tasks", sa.Column("status", sa.Text, server_default="pending", nullable=False))
    op.add_column("tasks", sa.Column("result", postgresql.JSONB))
    raise NotImplementedError  # TODO(next)
