"""Reading leases: those in force, and the tasks that run by them."""

HAS_LEASE = "expires_at >= (SELECT lease_floor.expires_at FROM lease_floor WHERE is_only)"
"""The condition on `leases` that its index begins with: without it, a look reads past those that ended long ago."""
CLAIMED = "unnest(task_ids, versions, concurrency_keys) AS claimed (task_id, version, key)"
"""The tasks of a lease, with the concurrency key of each: '' for none, NULL if it is not known here.

It is known where the claim was within limits per key.
"""
RUNNING = f"""(
    SELECT lease_id, worker_id, leases.queue, started_at, leases.expires_at, claimed.task_id, claimed.version
    FROM leases CROSS JOIN LATERAL unnest(task_ids, versions) AS claimed (task_id, version)
    WHERE {HAS_LEASE}
)"""
"""The tasks of all leases. Those that have ended no longer have that version."""
