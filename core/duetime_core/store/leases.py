"""Leases: those in force, the tasks that run by them, and their extension."""

import datetime
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database

HAS_LEASE = "expires_at >= (SELECT lease_floor.expires_at FROM lease_floor WHERE is_only)"
"""The condition on `leases` that its index begins with: without it, a look reads past those that ended long ago."""
CLAIMED = "unnest(task_ids, versions, concurrency_keys) AS claimed (task_id, version, key)"
"""The tasks of a lease, with the concurrency key of each: '' for none, NULL if it is not known here.

It is known where the claim was within limits per key.
"""
RUNNING = f"""(
    SELECT lease_id, worker_id, leases.queue, started_at, leases.expires_at, claimed.task_id, claimed.version
    FROM leases CROSS JOIN LATERAL unnest(task_ids, versions) AS claimed (task_id, version)
    WHERE leases.namespace_id = :namespace_id AND {HAS_LEASE}
)"""
"""The tasks of all leases of the namespace. Those that have ended no longer have that version."""

# Where fewer than half of a lease's tasks run, the others leave it: what reads leases reads all of their tasks.
_EXTEND = sa.text(f"""
WITH held AS MATERIALIZED (
    SELECT lease_id, live.* FROM leases CROSS JOIN LATERAL (
        SELECT array_agg(task_id) AS live_ids, array_agg(version) AS live_versions, array_agg(key) AS live_keys
        FROM {CLAIMED}
        WHERE EXISTS (
            SELECT FROM tasks WHERE tasks.task_id = claimed.task_id AND tasks.version = claimed.version OFFSET 0
        )
    ) AS live
    WHERE lease_id = ANY(CAST(:lease_ids AS bigint[])) AND worker_id = :worker_id
    ORDER BY lease_id
    FOR UPDATE OF leases SKIP LOCKED
), extended AS (
    UPDATE leases SET expires_at = clock_timestamp() + CAST(:lease AS interval),
        task_ids = CASE WHEN 2 * cardinality(live_ids) < cardinality(task_ids) THEN live_ids ELSE task_ids END,
        versions = CASE WHEN 2 * cardinality(live_ids) < cardinality(task_ids) THEN live_versions ELSE versions END,
        concurrency_keys =
            CASE WHEN 2 * cardinality(live_ids) < cardinality(task_ids) THEN live_keys ELSE concurrency_keys END
    -- As `held` has them: otherwise a plan may read all leases.
    FROM held WHERE leases.lease_id = held.lease_id AND leases.lease_id = ANY(CAST(:lease_ids AS bigint[]))
    RETURNING leases.lease_id, live_ids
)
SELECT lease_id, coalesce(live_ids, '{{}}') AS task_ids FROM extended
""")
_STILL_THERE = sa.text("""
SELECT lease_id FROM leases WHERE lease_id = ANY(CAST(:lease_ids AS bigint[])) AND worker_id = :worker_id
""")


async def extend(
    engine: sqlalchemy_asyncio.AsyncEngine, lease_ids: Collection[int], *, worker_id: str, lease: datetime.timedelta
) -> tuple[dict[int, list[int]], set[int]]:
    """Extends those leases of the worker; returns the tasks of each that it still holds, and the leases passed over.

    These are still the worker's, but another session has locked their rows. The others are lost.
    """
    parameters = {"worker_id": worker_id, "lease_ids": list(lease_ids), "lease": lease}
    with database.unavailable():
        async with engine.connect() as connection:
            extended = {row.lease_id: row.task_ids for row in await connection.execute(_EXTEND, parameters)}
            missing = [lease_id for lease_id in lease_ids if lease_id not in extended]
            locked: set[int] = set()
            if missing:
                looked_up = {"worker_id": worker_id, "lease_ids": missing}
                locked = set((await connection.execute(_STILL_THERE, looked_up)).scalars())
            return extended, locked
