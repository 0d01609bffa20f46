"""API keys for tests."""

import datetime

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import access, api_key
from duetime_core.store.api_keys import create as key_create

GRANT = api_key.Grant("ci", access.Role.EDITOR, may_read_payloads=True)
ADMIN = api_key.Grant("ops", access.Role.ADMIN, may_read_payloads=True)


async def create(
    engine: sqlalchemy_asyncio.AsyncEngine,
    grant: api_key.Grant = GRANT,
    *,
    lifetime: datetime.timedelta | None = api_key.DEFAULT_LIFETIME,
    creator: access.Principal | None = None,
    actor: str = "test",
) -> tuple[api_key.Token, api_key.ApiKey]:
    """Creates a key, and returns what its user has, and its row."""
    token = api_key.Token.create()
    return token, await key_create.create(engine, token, grant, lifetime=lifetime, creator=creator, actor=actor)


async def rotate(
    engine: sqlalchemy_asyncio.AsyncEngine,
    key_id: str,
    *,
    overlap: datetime.timedelta = api_key.DEFAULT_OVERLAP,
    creator: access.Principal | None = None,
) -> tuple[api_key.Token, api_key.ApiKey, api_key.ApiKey]:
    """Rotates a key, and returns what its user has now, the new row and the old one."""
    token = api_key.Token.create()
    new, old = await key_create.rotate(engine, key_id, token, overlap=overlap, creator=creator, actor="test")
    return token, new, old


async def expire(engine: sqlalchemy_asyncio.AsyncEngine, key_id: str) -> None:
    """Lets a key expire, as time does."""
    async with engine.connect() as connection:
        await connection.execute(
            sa.text("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE key_id = :key_id"),
            {"key_id": key_id},
        )
