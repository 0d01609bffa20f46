"""Reading audit events, a page at a time."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import audit
from duetime_core.postgres import database

_LIST = sa.text("""
SELECT event_id, kind, timestamp, first_timestamp, calls, actor, address, key_id, method, reason FROM audit_events
WHERE event_id < :before
    AND (CAST(:kind AS text) IS NULL OR kind = :kind)
    AND (CAST(:actor AS text) IS NULL OR actor = :actor)
    AND (CAST(:key_id AS text) IS NULL OR key_id = :key_id)
ORDER BY event_id DESC LIMIT :limit
""")
_AFTER_ALL = 2**63 - 1


async def list_events(
    engine: sqlalchemy_asyncio.AsyncEngine, wanted: audit.Filter, *, before: int | None, limit: int
) -> list[audit.Event]:
    """Returns up to `limit` events that match, with ids below `before`, newest first. Raises StoreUnavailable."""
    parameters = {
        "before": _AFTER_ALL if before is None else max(0, min(before, _AFTER_ALL)),
        "kind": None if wanted.kind is None else wanted.kind.value,
        "actor": wanted.actor,
        "key_id": wanted.key_id,
        "limit": limit,
    }
    with database.unavailable():
        async with engine.connect() as connection:
            return [audit.Event(*row) for row in await connection.execute(_LIST, parameters)]
