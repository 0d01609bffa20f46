"""Connections as pgqueuer's guides make them."""

import asyncpg


async def connect(url: str) -> asyncpg.Connection:
    """Connects to the database of that URL, whose parameters are libpq's."""
    return await asyncpg.connect(_without_parameters(url), ssl=False)


async def pool(url: str) -> asyncpg.Pool:
    """Opens a pool of the size that its guide to performance shows."""
    return await asyncpg.create_pool(_without_parameters(url), ssl=False, min_size=5, max_size=20)


def _without_parameters(url: str) -> str:
    return url.partition("?")[0]  # asyncpg would hand those that it does not know to the server
