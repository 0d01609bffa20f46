"""Connections as in pgqueuer's guides."""

import asyncpg


async def connect(url: str) -> asyncpg.Connection:
    """Connects to the database; the URL's `host` may be the directory of a unix socket."""
    return await asyncpg.connect(url, ssl=False)


async def pool(url: str) -> asyncpg.Pool:
    """Opens a pool of the size in pgqueuer's performance guide."""
    return await asyncpg.create_pool(url, ssl=False, min_size=5, max_size=20)
