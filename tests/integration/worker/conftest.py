"""A proxy between one process and PostgreSQL, for tests in which connections break."""

import pathlib
import uuid
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support import proxies


@pytest_asyncio.fixture
async def proxy(database_url: str, short_directory: pathlib.Path) -> AsyncIterator[proxies.Proxy]:
    """Its `url` leads to the test's database."""
    directory = short_directory / uuid.uuid4().hex[:8]
    directory.mkdir()
    async with proxies.Proxy(database_url, directory) as proxy:
        yield proxy
