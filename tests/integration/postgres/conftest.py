"""Fixtures that tests of PostgreSQL share."""

import uuid
from collections.abc import AsyncIterator

import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.postgres import database
from tests.support import first_edition


@pytest_asyncio.fixture
async def empty(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncEngine]:
    """An engine on a database without tables."""
    name = f"empty_{uuid.uuid4().hex}"
    async with admin.connect() as connection:
        await connection.execute(sa.text(f"CREATE DATABASE {name}"))
        url = admin.url.set(database=name).render_as_string(hide_password=False)
        engine = database.connect(url)
        yield engine
        await engine.dispose()
        await connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest_asyncio.fixture
async def first(empty: sqlalchemy_asyncio.AsyncEngine) -> sqlalchemy_asyncio.AsyncEngine:
    """A database of the first edition without tasks."""
    await migrate.upgrade_to(empty, first_edition.REVISION)
    return empty
