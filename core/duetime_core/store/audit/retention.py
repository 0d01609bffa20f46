"""Retention of audit events: the only statement that deletes some."""

import datetime
from collections.abc import AsyncIterator

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import partition_changes

BATCH = 1000
"""How many events one statement deletes."""

_DELETE = sa.text("""
DELETE FROM audit_events WHERE event_id = ANY(ARRAY(
    SELECT event_id FROM audit_events WHERE timestamp < now() - CAST(:keep AS interval) ORDER BY timestamp LIMIT :limit
))
""")


async def delete(engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta) -> AsyncIterator[int]:
    """Deletes events older than `keep`; yields how many each batch deleted. Raises LogBusy, StoreUnavailable."""
    deleted = BATCH
    while deleted == BATCH:
        # As the owner, like a change of partitions: the role of servers and workers may not delete events.
        async with partition_changes.begin(engine) as connection:
            deleted = (await connection.execute(_DELETE, {"keep": keep, "limit": BATCH})).rowcount
        yield deleted
