"""What tests of several modules here begin with."""

from collections.abc import AsyncIterator

import pytest_asyncio

import duetime_client
from tests import processes


@pytest_asyncio.fixture
async def client(start: processes.Starter) -> AsyncIterator[duetime_client.AsyncClient]:
    """A client of a server; the workers are up to the test."""
    server = await start.server()
    async with duetime_client.AsyncClient(server.address) as client:
        yield client
