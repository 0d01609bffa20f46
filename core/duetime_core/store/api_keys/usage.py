"""When and from where API keys were used last."""

import datetime
from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database


class Use(NamedTuple):
    """The last use of a key."""

    ago: datetime.timedelta
    address: str
    """Empty if it is not known: then the one before is kept."""


# One that is being rotated or revoked is left out: its next use is noted.
_NOTE = sa.text("""
UPDATE api_keys SET last_used_at = now() - used.ago,
    last_used_from = coalesce(nullif(used.address, ''), last_used_from)
FROM unnest(CAST(:key_ids AS text[]), CAST(:ago AS interval[]), CAST(:addresses AS text[]))
    AS used (key_id, ago, address)
WHERE api_keys.key_id = used.key_id
    AND api_keys.key_id = ANY(ARRAY(
        SELECT key_id FROM api_keys WHERE key_id = ANY(CAST(:key_ids AS text[])) ORDER BY key_id FOR UPDATE SKIP LOCKED
    ))
    AND (last_used_at IS NULL OR last_used_at < now() - used.ago)
""")


async def note(engine: sqlalchemy_asyncio.AsyncEngine, uses: Mapping[str, Use]) -> None:
    """Notes the last use of keys, by their ids, where another server has not noted a later one."""
    with database.unavailable():
        async with engine.connect() as connection:
            parameters = {
                "key_ids": list(uses),
                "ago": [use.ago for use in uses.values()],
                "addresses": [use.address for use in uses.values()],
            }
            await connection.execute(_NOTE, parameters)
