"""Reading the audit events of a namespace, a page at a time."""

import functools

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import audit
from duetime_core.postgres import audit_tables, database, namespaced

_CONDITIONS = {"kind": "kind = :kind", "actor": "actor = :actor", "key_id": "key_id = :key_id"}
"""By the field of a filter. Each has an index."""
_AFTER_ALL = 2**63 - 1


async def list_events(
    engine: sqlalchemy_asyncio.AsyncEngine, wanted: audit.Filter, *, before: int | None, limit: int
) -> list[audit.Event]:
    """Returns up to `limit` events that match, with ids below `before`, newest first. Raises StoreUnavailable."""
    given = {field: str(value) for field in _CONDITIONS if (value := getattr(wanted, field)) is not None}
    position = _AFTER_ALL if before is None else max(0, min(before, _AFTER_ALL))
    parameters = {**given, "before": position, "limit": limit}
    with database.unavailable():
        async with engine.connect() as connection:
            return [audit.Event(*row) for row in await connection.execute(_list(tuple(given)), parameters)]


@functools.cache
def _list(fields: tuple[str, ...]) -> sa.TextClause:
    event_id = audit_tables.LISTED_ID if fields else "event_id"
    own = ["namespace_id = :namespace_id", f"{event_id} < :before"]
    conditions = " AND ".join([*own, *(_CONDITIONS[field] for field in fields)])
    return namespaced.text(f"""
        SELECT event_id, kind, timestamp, first_timestamp, calls, actor, address, key_id, method, reason
        FROM audit_events WHERE {conditions} ORDER BY {event_id} DESC LIMIT :limit
    """)
