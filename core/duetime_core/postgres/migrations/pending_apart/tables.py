"""The tables, empty, beside the present one."""

KEPT = [
    *("name", "queue", "execution_time", "task_data", "error_message", "retry_count", "max_retries"),
    *("retry_initial_backoff", "retry_max_backoff", "retry_multiplier", "retry_jitter", "timeout"),
    *("created_at", "updated_at", "executed_at", "request_id", "lost_leases", "priority", "concurrency_key"),
    *("schedule_id", "nominal_time", "local_time", "time_zone"),
]
"""The columns that a task has in every table, besides its id and version."""
ENDED = ["status", *KEPT, "result", "deleted_at"]

OF_ALL = """
    name text NOT NULL, queue text NOT NULL, execution_time timestamptz NOT NULL, task_data jsonb NOT NULL,
    error_message text, retry_count int NOT NULL DEFAULT 0, max_retries int NOT NULL DEFAULT 3,
    retry_initial_backoff interval NOT NULL, retry_max_backoff interval NOT NULL, retry_multiplier float8 NOT NULL,
    retry_jitter float8 NOT NULL, timeout interval, version int NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    executed_at timestamptz, request_id text, lost_leases int NOT NULL DEFAULT 0,
    priority smallint NOT NULL DEFAULT 0, concurrency_key text, schedule_id bigint, nominal_time timestamptz,
    local_time timestamp, time_zone text"""
_HOT = "autovacuum_vacuum_scale_factor = 0, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_threshold ="


def _list_indexes(table: str, where: str, and_where: str = "") -> str:
    """Returns the statements that create the indexes of lists."""
    return f"""
CREATE INDEX {table}_name_idx ON {table} (name text_pattern_ops, execution_time, task_id) {where};
CREATE INDEX {table}_queue_idx ON {table} (queue, execution_time, task_id) {where};
CREATE INDEX {table}_schedule_idx ON {table} (schedule_id, greatest(execution_time), task_id)
    WHERE schedule_id IS NOT NULL {and_where};
CREATE INDEX {table}_key_idx ON {table} (concurrency_key, greatest(execution_time), task_id)
    WHERE concurrency_key IS NOT NULL {and_where};"""


# One transaction, as each of these texts: PostgreSQL gets it as one message.
CREATE = f"""
CREATE TABLE live_tasks (
    task_id bigint GENERATED ALWAYS AS IDENTITY (MAXVALUE 4294967295) PRIMARY KEY, {OF_ALL},
    CONSTRAINT tasks_priority_check CHECK (priority BETWEEN 0 AND 9)
) WITH ({_HOT} 20000);
CREATE INDEX live_tasks_execution_time_idx ON live_tasks (greatest(execution_time), task_id)
    WHERE priority >= 0;
{_list_indexes("live_tasks", "WHERE priority >= 0")}
CREATE INDEX live_tasks_local_time_idx ON live_tasks (task_id) WHERE time_zone IS NOT NULL;
CREATE TABLE waiting (
    task_id bigint PRIMARY KEY, queue text NOT NULL, ready_at timestamptz NOT NULL, version int NOT NULL,
    level smallint NOT NULL, lost_leases smallint NOT NULL DEFAULT 0, is_next boolean NOT NULL DEFAULT false,
    concurrency_key text, schedule_id bigint
) WITH ({_HOT} 20000);
CREATE INDEX waiting_due_idx ON waiting (queue, ready_at, task_id)
    WHERE lost_leases < 2 AND NOT is_next AND level = 0;
CREATE INDEX waiting_urgent_idx ON waiting (queue, level, ready_at, task_id)
    WHERE lost_leases < 2 AND NOT is_next AND level > 0;
CREATE INDEX waiting_quarantined_idx ON waiting (queue, ready_at, task_id) WHERE lost_leases > 1;
CREATE INDEX waiting_key_idx ON waiting (queue, concurrency_key, level, ready_at, task_id)
    WHERE lost_leases < 2 AND NOT is_next AND concurrency_key IS NOT NULL;
CREATE INDEX waiting_next_idx ON waiting (queue, ready_at, task_id) WHERE is_next;
CREATE UNIQUE INDEX waiting_next_key ON waiting (schedule_id) WHERE is_next AND schedule_id IS NOT NULL;
CREATE TABLE leases (
    lease_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, worker_id text NOT NULL, queue text NOT NULL,
    started_at timestamptz NOT NULL, expires_at timestamptz NOT NULL, task_ids bigint[] NOT NULL,
    versions int[] NOT NULL, is_quarantined boolean NOT NULL DEFAULT false
) WITH ({_HOT} 5000);
CREATE INDEX leases_expires_at_idx ON leases (expires_at);
CREATE TABLE lease_floor (
    expires_at timestamptz NOT NULL,
    is_only boolean DEFAULT true NOT NULL CONSTRAINT lease_floor_is_only_check CHECK (is_only), PRIMARY KEY (is_only)
);
INSERT INTO lease_floor VALUES ('epoch');
CREATE TABLE claim_floors (queue text PRIMARY KEY, times timestamptz[] NOT NULL);
CREATE TABLE ended_tasks (
    task_id bigint NOT NULL, status text NOT NULL, {OF_ALL},
    result jsonb, deleted_at timestamptz, ended_at timestamptz NOT NULL,
    CONSTRAINT ended_tasks_status_check CHECK (status IN ('cancelled', 'completed', 'failed')),
    PRIMARY KEY (task_id, ended_at)
) PARTITION BY RANGE (ended_at);
CREATE INDEX ended_tasks_status_idx ON ended_tasks (status, execution_time, task_id) WHERE deleted_at IS NULL;
{_list_indexes("ended_tasks", "WHERE deleted_at IS NULL", "AND deleted_at IS NULL")}
CREATE TABLE ended_tasks_default PARTITION OF ended_tasks DEFAULT;
-- For the whole retention, so that tasks of the past are dropped by partitions as well: as `store.tasks.history`
-- creates those of the future.
DO $$
DECLARE
    keep int := coalesce(nullif(current_setting('duetime.task_retention_days', true), ''), '30')::int;
    days int := greatest(1, ceil(keep / 16.0));
    begins date := date 'epoch' + (now()::date - keep - date 'epoch') / days * days;
BEGIN
    WHILE begins < now()::date + 2 * days LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF ended_tasks FOR VALUES FROM (%L) TO (%L)',
            to_char(begins, '"ended_tasks_d"YYYYMMDD'), begins, begins + days);
        begins := begins + days;
    END LOOP;
END $$;
-- For task_data of the new release alone: what is large already is copied as it is.
CREATE TABLE payloads (task_id bigint PRIMARY KEY, task_data jsonb NOT NULL);
ALTER TABLE live_tasks ALTER task_data DROP NOT NULL;
ALTER TABLE ended_tasks ALTER task_data DROP NOT NULL;
CREATE TABLE request_ids (request_id text PRIMARY KEY, task_id bigint NOT NULL, digest uuid);
CREATE TABLE nominal_times (
    schedule_id bigint NOT NULL, nominal_time timestamptz NOT NULL, task_id bigint NOT NULL,
    PRIMARY KEY (schedule_id, nominal_time)
);
-- How far the copy is: all ids above `until` were written after the triggers were there.
CREATE TABLE copying (upto bigint NOT NULL, until bigint, is_compared boolean NOT NULL DEFAULT false);
INSERT INTO copying VALUES (0);
"""
