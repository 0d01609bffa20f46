"""A second namespace, beside the default one: callers cannot create one yet."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio


async def create(engine: sqlalchemy_asyncio.AsyncEngine, name: str = "other") -> int:
    """Creates a namespace, and returns its id."""
    async with engine.connect() as connection:
        statement = sa.text("INSERT INTO namespaces (name) VALUES (:name) RETURNING namespace_id")
        return int((await connection.execute(statement, {"name": name})).scalar_one())
