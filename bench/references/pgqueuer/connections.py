"""Connections as pgqueuer's guides make them."""

import asyncpg


async def connect(url: str) -> asyncpg.Connection:
    """Connects to the database of that URL, which may name a unix socket's directory as `host`."""
    return await asyncpg.connect(url, ssl=False)


async def pool(url: str) -> asyncpg.Pool:
    """Opens a pool of the size that its guide to performance shows."""
    return await asyncpg.create_pool(url, ssl=False, min_size=5, max_size=20)
