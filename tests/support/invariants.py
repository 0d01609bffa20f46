"""What holds in every snapshot of the tables of tasks: decision 21 has the invariants."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

Engine = sqlalchemy_asyncio.AsyncEngine

_VIOLATIONS = {
    "a waiting row without its task": """
        SELECT count(*) FROM waiting LEFT JOIN tasks USING (task_id)
        WHERE tasks.version IS DISTINCT FROM waiting.version""",
    "a task that neither waits nor runs, or both": """
        SELECT count(*) FROM tasks LEFT JOIN waiting USING (task_id) CROSS JOIN LATERAL (
            SELECT count(*) AS held FROM leases CROSS JOIN LATERAL unnest(task_ids, versions) AS of (task_id, version)
            WHERE of.task_id = tasks.task_id AND of.version = tasks.version
        ) AS leased
        WHERE held + CASE WHEN waiting.task_id IS NULL THEN 0 ELSE 1 END <> 1""",
    "a task that has and has not ended": "SELECT count(*) FROM tasks JOIN ended_tasks USING (task_id)",
    "a request id without its row": """
        SELECT count(*) FROM (
            SELECT task_id, request_id FROM tasks UNION ALL SELECT task_id, request_id FROM ended_tasks
        ) AS given FULL JOIN request_ids USING (request_id, task_id)
        WHERE request_id IS NOT NULL AND (given.task_id IS NULL OR request_ids.task_id IS NULL)""",
    "a row in another namespace than its task": """
        SELECT count(*) FROM (
            SELECT task_id, namespace_id FROM tasks UNION ALL SELECT task_id, namespace_id FROM ended_tasks
        ) AS of_task JOIN (
            SELECT task_id, namespace_id FROM waiting
            UNION ALL SELECT task_id, namespace_id FROM request_ids
            UNION ALL SELECT task_id, namespace_id FROM task_logs
            UNION ALL SELECT unnest(task_ids), namespace_id FROM leases
        ) AS other USING (task_id)
        WHERE of_task.namespace_id <> other.namespace_id""",
}


async def value(engine: Engine, query: str) -> Any:
    """Returns what the query finds first."""
    async with engine.connect() as connection:
        return (await connection.execute(sa.text(query))).scalar()


async def violations(engine: Engine) -> dict[str, int]:
    """Returns how many rows violate each invariant, without those that none violates."""
    found = {name: await value(engine, query) for name, query in _VIOLATIONS.items()}
    return {name: count for name, count in found.items() if count}
