"""Reading leases: those in force, and the tasks that run by them."""

HAS_LEASE = "expires_at >= (SELECT lease_floor.expires_at FROM lease_floor WHERE is_only)"
"""The condition on `leases` that its index begins with: without it, a look reads past those that ended long ago."""
RUNNING = f"""(
    SELECT lease_id, worker_id, leases.queue, started_at, leases.expires_at, claimed.task_id, claimed.version
    FROM leases CROSS JOIN LATERAL unnest(task_ids, versions) AS claimed (task_id, version)
    WHERE {HAS_LEASE}
)"""
"""The tasks of all leases. Those that have ended no longer have that version."""
