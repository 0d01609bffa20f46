"""The table as it was before, with all tasks copied back."""

from duetime_core.postgres.migrations.pending_apart import tables


def _of(table: str, columns: list[str]) -> str:
    """Returns the columns of the table, with the task_data that is in `payloads`."""
    data = f"coalesce({table}.task_data, (SELECT task_data FROM payloads WHERE payloads.task_id = {table}.task_id))"
    return ", ".join(data if column == "task_data" else f"{table}.{column}" for column in columns)


_LIVE = _of("live_tasks", [column for column in tables.KEPT if column not in {"updated_at", "executed_at"}])
_ENDED = _of("ended_tasks", tables.ENDED)

REVERT = f"""
ALTER TABLE tasks RENAME TO live_tasks;
ALTER SEQUENCE tasks_task_id_seq RENAME TO live_tasks_task_id_seq;
ALTER INDEX tasks_pkey RENAME TO live_tasks_pkey;
DROP INDEX tasks_execution_time_idx, tasks_name_idx, tasks_queue_idx, tasks_schedule_idx, tasks_key_idx,
    tasks_local_time_idx;
CREATE TABLE tasks (
    task_id bigint GENERATED ALWAYS AS IDENTITY (MAXVALUE 4294967295) PRIMARY KEY, {tables.OF_ALL},
    status text NOT NULL, result jsonb, request_digest uuid, worker_id text, lease_expires_at timestamptz,
    deleted_at timestamptz, is_next boolean NOT NULL DEFAULT false, is_refused boolean NOT NULL DEFAULT false,
    CONSTRAINT tasks_priority_check CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT tasks_status_check CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled'))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);
INSERT INTO tasks (task_id, version, status, is_next, worker_id, lease_expires_at, updated_at, executed_at,
    request_digest, {", ".join(column for column in tables.KEPT if column not in {"updated_at", "executed_at"})})
OVERRIDING SYSTEM VALUE
SELECT live_tasks.task_id, live_tasks.version + CASE WHEN running.task_id IS NULL THEN 0 ELSE 1 END,
    CASE WHEN running.task_id IS NULL THEN 'pending' ELSE 'running' END, coalesce(waiting.is_next, false),
    running.worker_id, running.expires_at, coalesce(running.started_at, live_tasks.updated_at),
    coalesce(running.started_at, live_tasks.executed_at), digest, {_LIVE}
FROM live_tasks LEFT JOIN waiting USING (task_id)
LEFT JOIN request_ids ON request_ids.task_id = live_tasks.task_id AND request_ids.request_id = live_tasks.request_id
LEFT JOIN (
    SELECT of.task_id, of.version, worker_id, started_at, expires_at
    FROM leases CROSS JOIN LATERAL unnest(task_ids, versions) AS of (task_id, version)
) AS running ON running.task_id = live_tasks.task_id AND running.version = live_tasks.version
    AND waiting.task_id IS NULL;
INSERT INTO tasks (task_id, version, is_refused, request_digest, {", ".join(tables.ENDED)})
OVERRIDING SYSTEM VALUE
SELECT ended_tasks.task_id, version, deleted_at IS NOT NULL AND nominal_times.task_id IS NOT NULL, digest, {_ENDED}
FROM ended_tasks LEFT JOIN nominal_times USING (schedule_id, nominal_time, task_id)
LEFT JOIN request_ids ON request_ids.task_id = ended_tasks.task_id AND request_ids.request_id = ended_tasks.request_id;
UPDATE tasks SET is_next = true FROM schedules
WHERE schedules.schedule_id = tasks.schedule_id AND tasks.nominal_time = next_nominal_time
    AND tasks.status = 'cancelled' AND (tasks.deleted_at IS NULL OR is_refused) AND advance_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM waiting WHERE waiting.schedule_id = tasks.schedule_id AND waiting.is_next);
SELECT setval('tasks_task_id_seq', last_value, is_called) FROM live_tasks_task_id_seq;
DROP TABLE live_tasks, waiting, leases, lease_floor, claim_floors, ended_tasks, payloads, request_ids, nominal_times;
CREATE INDEX tasks_due_idx ON tasks (queue, greatest(execution_time), task_id)
    WHERE status = 'pending' AND lost_leases < 2 AND NOT is_next AND priority = 0;
CREATE INDEX tasks_urgent_idx ON tasks (queue, priority, greatest(execution_time), task_id)
    WHERE status = 'pending' AND lost_leases < 2 AND NOT is_next AND priority > 0;
CREATE INDEX tasks_quarantined_idx ON tasks (queue, greatest(execution_time), task_id)
    WHERE status = 'pending' AND lost_leases > 1;
CREATE INDEX tasks_waiting_key_idx ON tasks (queue, concurrency_key, priority, greatest(execution_time), task_id)
    WHERE status = 'pending' AND lost_leases < 2 AND NOT is_next AND concurrency_key IS NOT NULL;
CREATE INDEX tasks_running_key_idx ON tasks (queue, concurrency_key)
    WHERE status = 'running' AND concurrency_key IS NOT NULL;
CREATE INDEX tasks_early_idx ON tasks (queue, updated_at)
    WHERE status = 'pending' AND lost_leases < 2 AND NOT is_next AND updated_at > execution_time;
CREATE INDEX tasks_next_idx ON tasks (queue, greatest(execution_time), task_id) WHERE is_next;
CREATE UNIQUE INDEX tasks_next_key ON tasks (schedule_id) WHERE is_next AND schedule_id IS NOT NULL;
CREATE INDEX tasks_unfinished_idx ON tasks (schedule_id)
    WHERE schedule_id IS NOT NULL AND status IN ('pending', 'running');
CREATE UNIQUE INDEX tasks_nominal_time_key ON tasks (schedule_id, nominal_time)
    WHERE schedule_id IS NOT NULL AND (deleted_at IS NULL OR is_refused);
CREATE INDEX tasks_local_time_idx ON tasks (task_id) WHERE time_zone IS NOT NULL AND status = 'pending';
CREATE INDEX tasks_lease_idx ON tasks (lease_expires_at) WHERE status = 'running';
CREATE UNIQUE INDEX tasks_request_id_key ON tasks (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX tasks_status_idx ON tasks (status, execution_time, task_id) WHERE status <> 'running';
CREATE INDEX tasks_name_idx ON tasks (name text_pattern_ops, execution_time, task_id) WHERE status <> 'running';
CREATE INDEX tasks_queue_idx ON tasks (queue, execution_time, task_id) WHERE status NOT IN ('pending', 'running');
CREATE INDEX tasks_schedule_idx ON tasks (schedule_id, greatest(execution_time), task_id)
    WHERE schedule_id IS NOT NULL AND status <> 'running';
CREATE INDEX tasks_key_idx ON tasks (concurrency_key, greatest(execution_time), task_id)
    WHERE concurrency_key IS NOT NULL AND status <> 'running';
CREATE INDEX tasks_cancelled_idx ON tasks (updated_at, task_id) WHERE status = 'cancelled';
"""
