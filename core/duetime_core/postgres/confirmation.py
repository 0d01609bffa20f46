"""Confirmation: a commit, after which what was read before it is as durable as a change of one's own.

A row may be visible before it is durable. PostgreSQL shows a commit that still waits for its standby as soon as that
wait is cut short: by a cancel, an administrator, or a crash and restart. A read waits for nothing. So an answer that
rests on a row that was already there, as that of a repeated request does, would be lost with the row in a failover.

PostgreSQL's write-ahead log is one sequence: once the standby has a commit that was made after the row was read, it has
the row too. PostgreSQL waits only for commits that wrote something. This one writes an empty message, which locks
nothing, and which any role may write under any wal_level.
"""

import contextlib
from collections.abc import AsyncIterator

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import database

_WRITE = sa.text("SELECT pg_logical_emit_message(true, 'duetime', '')")

_RESTING = (
    errors.TaskNotFound,
    errors.ScheduleNotFound,
    errors.StateConflict,
    errors.VersionMismatch,
    errors.RequestIdTaken,
)
"""The errors that name the state of a task or schedule, which a call without a response may have changed."""


async def write(connection: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Writes the message; it returns once all that was read is durable. In a transaction, its commit does so."""
    await connection.execute(_WRITE)


async def wait(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    """Returns once all that was read before is durable. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            await write(connection)


@contextlib.asynccontextmanager
async def of_refusals(engine: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[None]:
    """Like `database.unavailable`, and raises the block's refusals only once the state that they rest on is durable."""
    try:
        with database.unavailable():
            yield
    except _RESTING:
        await wait(engine)
        raise
