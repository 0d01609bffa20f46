"""Large task_data, in a table of its own: when a task ends, its row is moved without it.

`task_data` is NULL in `tasks` and `ended_tasks` where `payloads` has it. A task keeps its row there for good, even if a
caller makes its task_data small again: so a statement never has to guess where the newest one is.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

MOST_INLINE = 2_000
"""The bytes of task_data, as stored, that a row of `tasks` has at most: PostgreSQL stores a larger value apart, and
copies it when the row moves to another table."""

_READ = sa.text("SELECT task_data FROM payloads WHERE task_id = :task_id")


def of(table: str) -> str:
    """Returns the task_data of a row of `tasks` or `ended_tasks`: `payloads` is read only where the row has none.

    Row and payload are as the statement's snapshot sees them. Where the row may be newer, because the statement has
    locked or changed it, `read` it afterwards.
    """
    return f"""coalesce({table}.task_data, (
        SELECT payloads.task_data FROM payloads WHERE payloads.task_id = {table}.task_id
    ))"""


def is_large(data: str) -> str:
    """Returns the condition that `data` belongs into `payloads`."""
    return f"pg_column_size({data}) > {MOST_INLINE}"


def inline(data: str) -> str:
    """Returns what a new row of `tasks` has of `data`."""
    return f"CASE WHEN {is_large(data)} THEN NULL ELSE {data} END"


def assign(data: str) -> str:
    """Returns what a row of `tasks` has of `data` after an UPDATE."""
    return f"CASE WHEN tasks.task_data IS NULL OR {is_large(data)} THEN NULL ELSE {data} END"


def store(rows: str) -> str:
    """Returns the CTE that writes `rows`, which have task_id and the task_data of tasks whose row has none."""
    return f"""stored AS (
        INSERT INTO payloads (task_id, task_data) {rows}
        ON CONFLICT (task_id) DO UPDATE SET task_data = excluded.task_data
    )"""


# IS TRUE keeps the planner from a join that compares each task with all others.
OF_CREATED = store(f"""
        SELECT task_id, task_data FROM input
        WHERE {is_large("task_data")} AND (task_id IN (SELECT task_id FROM created)) IS TRUE
    """)
"""The CTE for those tasks of the CTE `input` that are `created`."""


async def read(connection: sqlalchemy_asyncio.AsyncConnection, task_id: int) -> dict[str, Any]:
    """Returns the large task_data of a task, after a statement that changed it.

    That statement could return an older one, because its row is the newest, but not all that its snapshot has. A later
    change may come between: it has a version of its own, which guards what a caller does with this one.
    """
    data: dict[str, Any] = (await connection.execute(_READ, {"task_id": task_id})).scalar_one()
    return data
