"""The database's clock, by which due times and leases are measured."""

import datetime

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import confirmation, database

NOW = sa.text("SELECT now()")
"""For the time of a transaction that is open."""


async def now(engine: sqlalchemy_asyncio.AsyncEngine) -> datetime.datetime:
    """Returns the database's time. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            time: datetime.datetime = (await connection.execute(NOW)).scalar_one()
            return time


async def now_if_it_commits(engine: sqlalchemy_asyncio.AsyncEngine) -> datetime.datetime:
    """Returns the database's time, after a commit. Raises StoreUnavailable.

    A database that can only read is unavailable to workers: one on a full or stalled disk, or a primary that lost its
    synchronous standby, answers reads at once. The time is that after the commit, so that a slow one shows.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            await confirmation.write(connection)
            time: datetime.datetime = (await connection.execute(NOW)).scalar_one()
            return time
