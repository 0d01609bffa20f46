"""Waiting for the claims that began before the limits of a queue changed, and so do not know of it."""

import asyncio
import time

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors

MOST_SECONDS = 4.0
"""A claim takes milliseconds. With what the change itself takes, this is below the deadline of a call."""
_POLL_SECONDS = 0.005

# Claims lock the table `queues` in this mode (`claiming.statements.claim`) from before they take their snapshot until
# they are committed or rolled back. Nothing waits for such a lock: it only shows which claims are in progress.
_IN_PROGRESS = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowShareLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation = CAST('queues' AS regclass)
"""
_ALL = sa.text(_IN_PROGRESS)
_OF_THESE = sa.text(f"{_IN_PROGRESS} AND virtualtransaction = ANY(:claims)")


async def wait(engine: sqlalchemy_asyncio.AsyncEngine, queue: str) -> None:
    """Waits until all claims in progress have ended; later ones see what is committed by now.

    Raises StoreUnavailable if they do not end in time.
    """
    ends = time.monotonic() + MOST_SECONDS
    statement, claims = _ALL, list[str]()
    while True:
        async with engine.connect() as connection:
            claims = list((await connection.execute(statement, {"claims": claims})).scalars())
        if not claims:
            return
        if time.monotonic() > ends:
            raise errors.StoreUnavailable(
                f"Queue {queue!r} was changed, but claims from before the change are still in progress and may start "
                "tasks of it. Retry to wait for them."
            )
        statement = _OF_THESE
        await asyncio.sleep(_POLL_SECONDS)
