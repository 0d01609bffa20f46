"""Fixtures that tests of several modules here share."""

import pathlib
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import duetime_client
from tests.support import primaries, processes, receiver


@pytest_asyncio.fixture
async def client(start: processes.Starter) -> AsyncIterator[duetime_client.AsyncClient]:
    """A client of a server; the workers are up to the test."""
    server = await start.server()
    async with duetime_client.AsyncClient(server.address) as client:
        yield client


@pytest_asyncio.fixture
async def received() -> AsyncIterator[receiver.Receiver]:
    """A receiver that listens."""
    async with receiver.receiving() as listening:
        yield listening


@pytest_asyncio.fixture
async def reachable(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Lets this test call receivers, with an HTTP client of its own."""
    async with receiver.reachable(monkeypatch):
        yield


@pytest_asyncio.fixture(scope="module")
async def primary(short_directory: pathlib.Path) -> AsyncIterator[primaries.Primary]:
    """A PostgreSQL server of this module's own."""
    async with primaries.running(short_directory / uuid.uuid4().hex[:8]) as running:
        yield running
