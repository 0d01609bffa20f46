"""Adding audit events: of a key, in the transaction that changes it; of refused calls, many in one statement."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import audit
from duetime_core.postgres import database, namespaced

_KEY = namespaced.text("""
INSERT INTO audit_events (namespace_id, kind, actor, address, key_id)
VALUES (:namespace_id, :kind, :actor, nullif(:address, ''), :key_id)
""")
_REFUSED = sa.text("""
INSERT INTO audit_events (namespace_id, kind, timestamp, first_timestamp, calls, actor, address, key_id, method, reason)
SELECT namespace_id, kind, now() - last, now() - first, calls, actor, address, key_id, method, reason
FROM unnest(
    CAST(:kinds AS text[]), CAST(:last AS interval[]), CAST(:first AS interval[]), CAST(:calls AS integer[]),
    CAST(:actors AS text[]), CAST(:addresses AS text[]), CAST(:key_ids AS text[]), CAST(:methods AS text[]),
    CAST(:reasons AS text[]), CAST(:namespace_ids AS integer[])
) AS refused (kind, last, first, calls, actor, address, key_id, method, reason, namespace_id)
""")
_MAX_CALLS = 2**31 - 1


async def key_changed(
    connection: sqlalchemy_asyncio.AsyncConnection, kind: audit.Kind, key_id: str, *, actor: str, address: str
) -> None:
    """Adds the event of a key to the transaction of its change."""
    await connection.execute(_KEY, {"kind": kind.value, "actor": actor, "address": address, "key_id": key_id})


async def refused(engine: sqlalchemy_asyncio.AsyncEngine, batch: Sequence[audit.Refused]) -> None:
    """Adds the events of refused calls, each of its own namespace. Raises StoreUnavailable."""
    parameters = {
        "kinds": [each.refusal.kind.value for each in batch],
        "last": [each.last for each in batch],
        "first": [each.first for each in batch],
        "calls": [min(each.calls, _MAX_CALLS) for each in batch],
        "actors": [each.refusal.actor for each in batch],
        "addresses": [each.refusal.address for each in batch],
        "key_ids": [each.refusal.key_id for each in batch],
        "methods": [each.method for each in batch],
        "reasons": [each.refusal.reason for each in batch],
        "namespace_ids": [each.refusal.namespace_id for each in batch],
    }
    with database.unavailable():
        async with engine.connect() as connection:
            await connection.execute(_REFUSED, parameters)
