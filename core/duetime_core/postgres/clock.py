"""The database's clock, which due times and leases go by."""

import datetime

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database

_NOW = sa.text("SELECT now()")


async def now(engine: sqlalchemy_asyncio.AsyncEngine) -> datetime.datetime:
    """Returns the time by the database's clock, which leases run by."""
    with database.unavailable():
        async with engine.connect() as connection:
            moment: datetime.datetime = (await connection.execute(_NOW)).scalar_one()
            return moment
