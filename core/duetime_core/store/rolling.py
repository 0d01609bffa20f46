"""Rolling schedules on: when the next occurrence of one is due, the one after it is made."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio


async def roll(connection: sqlalchemy_asyncio.AsyncConnection, queue: str, *, limit: int, actor: str) -> bool:
    """Rolls on up to `limit` schedules whose next occurrence is due in `queue`; tells whether some wait for a run."""
    del connection, queue, limit, actor
    return False
