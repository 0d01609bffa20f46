"""What a database needs that was restored from a dump into another cluster of PostgreSQL."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

# The dump's transaction ids mean nothing in the new cluster. Those that it has still to give would be announced by the
# feed once it gives them, so they become the first that any cluster gives. What this statement sees is committed;
# only if it comes from elsewhere does the snapshot that it is seen with not count its transaction as ended.
_SETTLE = """
UPDATE {table} SET xid = '3'
WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()) AND NOT pg_visible_in_snapshot(xid, pg_current_snapshot())
"""
_TABLES = ("task_logs", "feed_floor")


async def settle(connection: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Makes the log's transactions past ones; a glance at an index where they are already."""
    for table in _TABLES:
        await connection.execute(sa.text(_SETTLE.format(table=table)))
