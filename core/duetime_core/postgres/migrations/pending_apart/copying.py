"""The copies of tasks: of each one that is there, and of each one that changes."""

import sqlalchemy as sa

from duetime_core.postgres.migrations.pending_apart import tables


def _level(table: str) -> str:
    return f"CASE {table}.priority WHEN 0 THEN 0 ELSE {table}.priority + 1 END"


def _of(table: str, columns: list[str]) -> str:
    return ", ".join(f"{table}.{column}" for column in columns)


def _insert_live(source: str) -> str:
    # The row of a running task has the version before its start.
    return f"""INSERT INTO live_tasks (task_id, version, {", ".join(tables.KEPT)}) OVERRIDING SYSTEM VALUE
        SELECT {source}.task_id, {source}.version - CASE {source}.status WHEN 'running' THEN 1 ELSE 0 END,
            {_of(source, tables.KEPT)}"""


def _insert_waiting(source: str) -> str:
    # No claim of the new release has passed their time.
    return f"""INSERT INTO waiting
        SELECT {source}.task_id, {source}.queue, {source}.execution_time, {source}.version, {_level(source)},
            {source}.lost_leases, {source}.is_next, {source}.concurrency_key, {source}.schedule_id"""


def _insert_ended(source: str) -> str:
    return f"""INSERT INTO ended_tasks (task_id, version, {", ".join(tables.ENDED)}, ended_at)
        SELECT {source}.task_id, {source}.version, {_of(source, tables.ENDED)}, {source}.updated_at"""


_INSERT_REQUEST_ID = "INSERT INTO request_ids SELECT {0}.request_id, {0}.task_id, {0}.request_digest"
_INSERT_NOMINAL_TIME = "INSERT INTO nominal_times SELECT {0}.schedule_id, {0}.nominal_time, {0}.task_id"
_IS_LIVE = "{}.status IN ('pending', 'running')"
_TAKES_TIME = (
    "{0}.schedule_id IS NOT NULL AND {0}.nominal_time IS NOT NULL AND ({0}.deleted_at IS NULL OR {0}.is_refused)"
)

# Each row is deleted and written by who has locked that of `tasks`: none waits for another one. A claim changes nothing
# but `waiting`. A lease that is extended changes nothing.
CREATE_TRIGGERS = f"""
CREATE FUNCTION copy_changed_task() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        IF OLD.status = 'pending' AND (TG_OP = 'DELETE' OR NEW.status <> 'pending') THEN
            DELETE FROM waiting WHERE task_id = OLD.task_id;
        END IF;
        IF {_IS_LIVE.format("OLD")} AND (TG_OP = 'DELETE' OR NOT {_IS_LIVE.format("NEW")}) THEN
            DELETE FROM live_tasks WHERE task_id = OLD.task_id;
        ELSIF NOT {_IS_LIVE.format("OLD")} THEN
            DELETE FROM ended_tasks WHERE task_id = OLD.task_id AND ended_at = OLD.updated_at;
        END IF;
        DELETE FROM nominal_times
        WHERE schedule_id = OLD.schedule_id AND nominal_time = OLD.nominal_time AND task_id = OLD.task_id;
    END IF;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM request_ids WHERE request_id = OLD.request_id AND task_id = OLD.task_id;
        RETURN NULL;
    END IF;
    IF {_IS_LIVE.format("NEW")} THEN
        {_insert_live("NEW")}
        ON CONFLICT (task_id) DO UPDATE SET
            {", ".join(f"{column} = excluded.{column}" for column in ["version", *tables.KEPT])}
        WHERE live_tasks.version <> excluded.version;
    ELSE
        {_insert_ended("NEW")};
    END IF;
    IF NEW.status = 'pending' THEN
        {_insert_waiting("NEW")}
        ON CONFLICT (task_id) DO UPDATE SET queue = excluded.queue, ready_at = excluded.ready_at,
            version = excluded.version, level = excluded.level, lost_leases = excluded.lost_leases,
            is_next = excluded.is_next, concurrency_key = excluded.concurrency_key;
    END IF;
    IF NEW.request_id IS NOT NULL THEN
        {_INSERT_REQUEST_ID.format("NEW")} ON CONFLICT DO NOTHING;
    END IF;
    IF {_TAKES_TIME.format("NEW")} THEN
        {_INSERT_NOMINAL_TIME.format("NEW")}
        ON CONFLICT (schedule_id, nominal_time) DO UPDATE SET task_id = excluded.task_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER copy_created AFTER INSERT OR DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION copy_changed_task();
CREATE TRIGGER copy_changed AFTER UPDATE ON tasks FOR EACH ROW
WHEN (NEW.version <> OLD.version OR NEW.lease_expires_at IS NOT DISTINCT FROM OLD.lease_expires_at)
EXECUTE FUNCTION copy_changed_task();
UPDATE copying SET until = coalesce((SELECT max(task_id) FROM tasks), 0);
"""

# A row that is locked here is read as it is now, and either has its copy or none. Locked ones are not waited for: the
# page is copied again, until none was.
COPY = sa.text(f"""
WITH page AS MATERIALIZED (
    SELECT task_id FROM (
        SELECT task_id, sum(bytes) OVER (ORDER BY task_id) - bytes AS bytes_before FROM (
            SELECT task_id, pg_column_size(task_data) + coalesce(pg_column_size(result), 0) AS bytes
            FROM tasks WHERE task_id > :after AND task_id <= :until ORDER BY task_id LIMIT :limit
        ) AS measured
    ) AS summed
    WHERE bytes_before < :bytes
), found AS MATERIALIZED (
    SELECT * FROM tasks WHERE task_id = ANY(ARRAY(SELECT task_id FROM page)) FOR NO KEY UPDATE SKIP LOCKED
), live AS (
    {_insert_live("found")} FROM found WHERE {_IS_LIVE.format("found")} ON CONFLICT DO NOTHING
), waits AS (
    {_insert_waiting("found")} FROM found WHERE status = 'pending' ON CONFLICT DO NOTHING
), ended AS (
    {_insert_ended("found")} FROM found WHERE NOT {_IS_LIVE.format("found")} ON CONFLICT DO NOTHING
), requests AS (
    {_INSERT_REQUEST_ID.format("found")} FROM found WHERE request_id IS NOT NULL ON CONFLICT DO NOTHING
), times AS (
    {_INSERT_NOMINAL_TIME.format("found")} FROM found WHERE {_TAKES_TIME.format("found")} ON CONFLICT DO NOTHING
), counted AS (
    SELECT coalesce((SELECT max(task_id) FROM page), :until) AS upto,
        (SELECT count(*) FROM page) - (SELECT count(*) FROM found) AS locked
), noted AS (
    UPDATE copying SET upto = counted.upto FROM counted WHERE locked = 0
)
SELECT upto, locked FROM counted
""")

COMPARE = sa.text(f"""
SELECT count(*) FROM tasks FULL JOIN (
    SELECT task_id, version, true AS is_live FROM live_tasks
    UNION ALL SELECT task_id, version, false FROM ended_tasks
) AS copies USING (task_id)
FULL JOIN waiting USING (task_id)
WHERE tasks.version IS DISTINCT FROM copies.version + CASE status WHEN 'running' THEN 1 ELSE 0 END
    OR is_live IS DISTINCT FROM {_IS_LIVE.format("tasks")}
    OR waiting.version IS DISTINCT FROM CASE status WHEN 'pending' THEN tasks.version END
""")
