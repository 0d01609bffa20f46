"""Reading API keys: one, a page, and those that authenticate callers."""

import dataclasses
import datetime
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import api_key, errors
from duetime_core.postgres import database, namespaced
from duetime_core.store.api_keys import rows

_GET = namespaced.text(f"SELECT {rows.COLUMNS} FROM api_keys WHERE namespace_id = :namespace_id AND key_id = :key_id")
_LIST = namespaced.text(f"""
SELECT {rows.COLUMNS} FROM api_keys
WHERE namespace_id = :namespace_id AND number > :after AND (:with_ended OR {rows.IN_FORCE}) ORDER BY number LIMIT :limit
""")
# Of all namespaces: the key says in which one its caller is.
_FIND = sa.text(f"""
SELECT {rows.COLUMNS}, digest, expires_at - clock_timestamp() AS expires_in
FROM api_keys WHERE key_id = ANY(CAST(:key_ids AS text[]))
""")
# Of all namespaces: those that are used, and before them those that are new.
_IDS = sa.text(f"""
SELECT key_id FROM api_keys WHERE {rows.IN_FORCE} ORDER BY last_used_at DESC NULLS FIRST, number DESC LIMIT :limit
""")


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A key as the database knows it when a caller gives one with its id."""

    key: api_key.ApiKey
    digest: bytes = dataclasses.field(repr=False)
    expires_in: datetime.timedelta | None
    """After it was read, so that the clock of the server does not count; None if it never expires."""


async def get(engine: sqlalchemy_asyncio.AsyncEngine, key_id: str) -> api_key.ApiKey:
    """Returns a key. Raises ApiKeyNotFound, StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            row = (await connection.execute(_GET, {"key_id": key_id})).one_or_none()
    if row is None:
        raise errors.ApiKeyNotFound.of(key_id)
    return rows.read(row)


async def list_keys(
    engine: sqlalchemy_asyncio.AsyncEngine, *, with_ended: bool, after: int, limit: int
) -> list[api_key.ApiKey]:
    """Returns up to `limit` keys with a number above `after`, oldest first; also revoked and expired ones if asked."""
    with database.unavailable():
        async with engine.connect() as connection:
            parameters = {"with_ended": with_ended, "after": after, "limit": limit}
            return [rows.read(row) for row in await connection.execute(_LIST, parameters)]


async def find(engine: sqlalchemy_asyncio.AsyncEngine, key_ids: Collection[str]) -> dict[str, Known]:
    """Returns those of the keys that exist, by their ids. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            found = await connection.execute(_FIND, {"key_ids": list(key_ids)})
            return {row.key_id: Known(rows.read(row), row.digest, row.expires_in) for row in found}


async def ids(engine: sqlalchemy_asyncio.AsyncEngine, *, limit: int) -> frozenset[str]:
    """Returns the ids of up to `limit` keys in force: first of unused ones, then of those used last.

    Raises StoreUnavailable.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            return frozenset((await connection.execute(_IDS, {"limit": limit})).scalars())
