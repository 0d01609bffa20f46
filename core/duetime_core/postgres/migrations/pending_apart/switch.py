"""The copy takes the place of the table."""

# The start is what the log has: it is written once.
SWITCH = """
DROP TRIGGER copy_created ON tasks;
DROP TRIGGER copy_changed ON tasks;
DROP FUNCTION copy_changed_task();
DROP TABLE copying;
INSERT INTO leases (worker_id, queue, started_at, expires_at, task_ids, versions, is_quarantined)
SELECT worker_id, queue, began_at, lease_expires_at, array_agg(task_id ORDER BY task_id),
    array_agg(version - 1 ORDER BY task_id), lost_leases > 1
FROM (
    SELECT tasks.*, coalesce((
        SELECT max(timestamp) FROM task_logs
        WHERE task_logs.task_id = tasks.task_id AND task_logs.version = tasks.version
    ), executed_at) AS began_at
    FROM tasks WHERE status = 'running'
) AS running
GROUP BY worker_id, queue, began_at, lease_expires_at, lost_leases > 1;
-- What a caller refused is known by its nominal time, and the schedule's.
INSERT INTO nominal_times SELECT schedule_id, nominal_time, task_id FROM tasks
WHERE is_next AND schedule_id IS NOT NULL AND status <> 'pending' ON CONFLICT DO NOTHING;
UPDATE schedules SET next_nominal_time = tasks.nominal_time,
    next_due_at = CASE WHEN next_nominal_time = tasks.nominal_time THEN next_due_at END
FROM tasks WHERE tasks.schedule_id = schedules.schedule_id AND is_next AND status <> 'pending';
UPDATE schedules SET advance_at = tasks.nominal_time
FROM tasks WHERE tasks.schedule_id = schedules.schedule_id AND is_next AND advance_at IS NULL AND NOT is_paused
    AND schedules.deleted_at IS NULL;
SELECT setval('live_tasks_task_id_seq', last_value, is_called) FROM tasks_task_id_seq;
DROP TABLE tasks;
ALTER TABLE live_tasks RENAME TO tasks;
ALTER SEQUENCE live_tasks_task_id_seq RENAME TO tasks_task_id_seq;
ALTER INDEX live_tasks_pkey RENAME TO tasks_pkey;
ALTER INDEX live_tasks_execution_time_idx RENAME TO tasks_execution_time_idx;
ALTER INDEX live_tasks_name_idx RENAME TO tasks_name_idx;
ALTER INDEX live_tasks_queue_idx RENAME TO tasks_queue_idx;
ALTER INDEX live_tasks_schedule_idx RENAME TO tasks_schedule_idx;
ALTER INDEX live_tasks_key_idx RENAME TO tasks_key_idx;
ALTER INDEX live_tasks_local_time_idx RENAME TO tasks_local_time_idx;
"""
