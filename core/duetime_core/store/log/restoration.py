"""Adapting a database that was restored from a dump into another PostgreSQL cluster."""

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

# The dump's transaction ids mean nothing in the new cluster. The feed would show rows with future ids once the cluster
# assigns those, so they get the first id of any cluster. Every row that this statement sees is committed; only a row
# from another cluster has a transaction that the statement's snapshot does not count as ended.
_FROM_ELSEWHERE = (
    "xid >= pg_snapshot_xmin(pg_current_snapshot()) AND NOT pg_visible_in_snapshot(xid, pg_current_snapshot())"
)
_TABLES = ("task_logs", "feed_floor")
# Their transactions are to come. Histories need nothing: those of the dump have another database_id.
_FORGET_MARKS = sa.text(f"DELETE FROM feed_marks WHERE {_FROM_ELSEWHERE}")


async def reset_transaction_ids(connection: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Replaces future transaction ids in the log by a past one; where there are none, this reads one index entry.

    Marks that are that new are deleted, too: the next is noted within a second.
    """
    for table in _TABLES:
        await connection.execute(sa.text(f"UPDATE {table} SET xid = '3' WHERE {_FROM_ELSEWHERE}"))
    await connection.execute(_FORGET_MARKS)
