"""Many rows of tasks at once, written in SQL: a million creates would take minutes."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

_DEFAULTS = {
    "name": "'noop'",
    "queue": "'default'",
    "status": "'pending'",
    "execution_time": "now()",
    "task_data": "'{}'",
    "retry_initial_backoff": "'1 second'",
    "retry_max_backoff": "'1 hour'",
    "retry_multiplier": "2",
    "retry_jitter": "0.1",
}


def numbers(count: int | str) -> str:
    """Returns the FROM item of the rows `n` from 1 to that."""
    return f"generate_series(1, CAST({count} AS int)) AS n"


def made(source: str, **columns: str) -> str:
    """Returns the CTE `made` that inserts a task for each row of `source`, and has its columns.

    The values of its columns are SQL expressions over `source`; those of running tasks include lease_expires_at.
    """
    values = {**_DEFAULTS, **columns}
    return f"""made AS (
        INSERT INTO tasks ({", ".join(values)})
        SELECT {", ".join(values.values())} FROM {source}
        RETURNING *
    )"""


def insertion(count: int | str, **columns: str) -> str:
    """Returns the statement that inserts that many tasks, with expressions over their number `n`; returns their ids."""
    return f"WITH {made(numbers(count), **columns)} SELECT task_id FROM made"


async def insert(engine: sqlalchemy_asyncio.AsyncEngine, count: int, **columns: str) -> Sequence[int]:
    """Inserts that many tasks, with expressions over their number `n`, and returns their ids."""
    async with engine.connect() as connection:
        return (await connection.execute(sa.text(insertion(count, **columns)))).scalars().all()
