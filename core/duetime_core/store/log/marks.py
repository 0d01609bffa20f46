"""Marks: pairs of a transaction and a log_id, by which a reader that is far behind finds where its unread rows begin.

Every transaction above the mark's own has only log rows above the mark's log_id: it got its id after that log_id was
drawn, and draws its own after its id (see `columns.write_log`). A snapshot's xmax would not do: it is one above the
last *completed* transaction, and others above it may have begun, and logged, before.
"""

import asyncio
import contextlib
import datetime

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import database
from duetime_core.store.log import histories

INTERVAL_SECONDS = 1.0
"""How often a mark is noted while tasks change."""

# A statement of its own, before the one that gets an id. A sequence that was never used has a last_value too.
_LOOK = sa.text("""
SELECT log.log_id, newest.xid IS NULL OR newest.log_id < log.log_id
    AND abs(extract(epoch FROM clock_timestamp() - newest.noted_at)) >= :seconds AS is_due
FROM (SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END AS log_id FROM task_logs_log_id_seq) AS log
LEFT JOIN (SELECT xid, log_id, noted_at FROM feed_marks ORDER BY xid DESC LIMIT 1) AS newest ON true
""")
# Only once the history is noted; see `histories`.
_NOTE = sa.text(f"""
INSERT INTO feed_marks (xid, log_id) SELECT pg_current_xact_id(), :log_id
WHERE coalesce((SELECT log_id FROM feed_marks ORDER BY xid DESC LIMIT 1), -1) < :log_id
    AND {histories.PRESENT} IS NOT NULL
""")
# The newest is kept, as the one before the first row that a watch may still have to read.
_FORGET = sa.text("""
DELETE FROM feed_marks WHERE noted_at < now() - CAST(:keep AS interval) AND xid < (
    SELECT xid FROM feed_marks WHERE xid <= (SELECT xid FROM feed_floor) ORDER BY xid DESC LIMIT 1
)
""")


async def run(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    """Notes marks until cancelled. Each process does: a second mark costs a row, and a missing one only time."""
    while True:
        with contextlib.suppress(errors.StoreUnavailable):  # others report it
            await note(engine)
        await asyncio.sleep(INTERVAL_SECONDS)


async def note(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    """Notes a mark if tasks changed since the last one, INTERVAL_SECONDS ago, and the history if it is new.

    Does nothing on a replica. Raises StoreUnavailable.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            found = (await connection.execute(_LOOK, {"seconds": INTERVAL_SECONDS})).one()
            if found.is_due and not (await connection.execute(_NOTE, {"log_id": found.log_id})).rowcount:
                await histories.note(connection)


async def forget(engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta) -> None:
    """Deletes the marks before the log rows that are kept. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            await connection.execute(_FORGET, {"keep": keep})
