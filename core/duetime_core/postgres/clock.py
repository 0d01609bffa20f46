"""The database's clock, by which due times and leases are measured."""

import datetime

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database

_NOW = sa.text("SELECT now()")


async def now(engine: sqlalchemy_asyncio.AsyncEngine) -> datetime.datetime:
    """Returns the database's time. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            time: datetime.datetime = (await connection.execute(_NOW)).scalar_one()
            return time
