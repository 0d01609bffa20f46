"""Task ids: how many are used, of those that the contract has."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database, schema

HALF = schema.MAX_TASK_ID // 2
NEARLY_ALL = schema.MAX_TASK_ID // 10 * 9

_LAST = sa.text("SELECT last_value FROM tasks_task_id_seq")


async def last(engine: sqlalchemy_asyncio.AsyncEngine) -> int:
    """Returns the last id that was drawn, which is how many are used: they are drawn one after another."""
    with database.unavailable():
        async with engine.connect() as connection:
            drawn: int = (await connection.execute(_LAST)).scalar_one()
            return drawn
