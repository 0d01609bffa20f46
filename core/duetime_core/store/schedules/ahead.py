"""Schedules that are ahead of the clock, because the database's once was: they create no task until it catches up."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database

_MOST = 10
_READ = sa.text(f"""
SELECT schedule_id FROM schedules
WHERE last_nominal_time > now() + interval '1 minute' AND deleted_at IS NULL AND NOT is_paused
ORDER BY schedule_id LIMIT {_MOST}
""")


async def read(engine: sqlalchemy_asyncio.AsyncEngine) -> list[int]:
    """Returns the ids of the first of them. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            return [*(await connection.execute(_READ)).scalars()]
