"""Fixtures that tests of several modules here share."""

import pathlib
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from tests.support import primaries, processes, receiver


@pytest_asyncio.fixture
async def client(start: processes.Starter) -> AsyncIterator[duetime_client.AsyncClient]:
    """A client of a server; the workers are up to the test."""
    server = await start.server()
    async with duetime_client.AsyncClient(server.address) as client:
        yield client


@pytest_asyncio.fixture
async def held_snapshot(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[None]:
    """A transaction that keeps its snapshot, as a backup does."""
    async with engine.connect() as held:
        await held.execution_options(isolation_level="REPEATABLE READ")
        await held.execute(sa.text("SET idle_in_transaction_session_timeout = 0"))
        await held.execute(sa.text("SELECT count(*) FROM queues"))
        yield


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
