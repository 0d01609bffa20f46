"""Audit events for tests."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio


async def events(engine: sqlalchemy_asyncio.AsyncEngine) -> Sequence[sa.Row[Any]]:
    """Returns all of them, in the order in which they were written."""
    async with engine.connect() as connection:
        return (await connection.execute(sa.text("SELECT * FROM audit_events ORDER BY event_id"))).all()
