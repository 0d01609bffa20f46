"""The database's clock, by which due times and leases are measured."""

import datetime

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database

NOW = sa.text("SELECT now()")
"""For the time of a transaction that is open."""


async def now(engine: sqlalchemy_asyncio.AsyncEngine) -> datetime.datetime:
    """Returns the database's time. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            time: datetime.datetime = (await connection.execute(NOW)).scalar_one()
            return time
