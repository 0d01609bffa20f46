"""Fixtures of the tests of two namespaces."""

from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from tests.support import invariants, tenants


@pytest_asyncio.fixture
async def other(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[int]:
    """A second namespace; tests are in the default one otherwise. What they leave keeps to its namespace."""
    yield await tenants.create(engine)
    assert await invariants.violations(engine) == {}
