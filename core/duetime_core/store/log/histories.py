"""Histories of the database: in which of them a reader is, and what a position of an earlier one is worth in it.

A position in the feed rests on ids of transactions. After a failover, a restore or a crash PostgreSQL may give ids
again that a position counts as read. So a position names its history, and ends at a *durable* row: wherever that row
is, ids up to its own are spent for good. Where it is not, the position is clipped to what no later history gave again.
"""

import dataclasses
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.model.snapshot import Position, Snapshot

ELSEWHERE = "must come from a watch of this database, and not of a state that it has lost. Begin again without it"
"""The violation of a cursor of an unknown history: another database's, or one that a failover or restore lost."""

READ_ONLY = "This PostgreSQL is a replica, or read-only, and watches read the primary. Retry later."

_DATABASE = """
    (SELECT format('%s/%s', system_identifier, pg_database.oid) FROM pg_control_system(), pg_database
        WHERE datname = current_database())"""
# A transaction that began during recovery stays read-only. `pg_is_in_recovery()` may have become false since its
# snapshot was taken, which lists no transactions in progress.
IS_READ_ONLY = "current_setting('transaction_read_only') = 'on'"
_TIMELINE = f"CASE WHEN NOT {IS_READ_ONLY} THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END"
PRESENT = f"""(
    SELECT CAST(history_id AS text) FROM feed_histories
    WHERE database_id = {_DATABASE} AND timeline = {_TIMELINE} AND postmaster_started_at = pg_postmaster_start_time()
)"""
"""The id of the history that PostgreSQL is in; NULL if it is not noted."""


def _durable(where: str = "true", and_log_id: str = "true") -> str:
    """Returns the statement of the last rows, of those that match, whose transactions are durable."""
    return f"""
        (SELECT xid, log_id, timestamp AS at FROM task_logs WHERE {where} AND {and_log_id} ORDER BY xid DESC LIMIT 1)
        UNION ALL (SELECT xid, log_id, noted_at FROM feed_marks WHERE {where} ORDER BY xid DESC LIMIT 1)
        UNION ALL (SELECT xid, 0, CAST('epoch' AS timestamptz) FROM feed_floor WHERE {where})
    """


_NAMED = "format('%s.%s.%s', xid, log_id, CAST(extract(epoch FROM at) * 1000000 AS bigint))"
HERE = f"""
    SELECT {IS_READ_ONLY} AS is_read_only, {PRESENT} AS history, CAST(pg_current_snapshot() AS text) AS current,
        (SELECT {_NAMED} FROM ({_durable()}) AS durable ORDER BY xid DESC LIMIT 1) AS end_row,
        (SELECT CAST(xid AS text) FROM feed_floor) AS floor,
        -- Not below the log_id of any row that the snapshot sees.
        (SELECT last_value FROM task_logs_log_id_seq) AS last_id
"""
"""The statement of what a reader needs to know of its place: the row of `Here`."""

_LOOK = sa.text(HERE)
_IS_READ_ONLY = sa.text(f"SELECT {IS_READ_ONLY}")
_NOTE = sa.text(f"""
INSERT INTO feed_histories (database_id, timeline, postmaster_started_at, first_xid)
SELECT {_DATABASE}, {_TIMELINE}, pg_postmaster_start_time(), coalesce(
    -- No mark is noted before its history is: the newest one is from before this history began, and survived.
    (SELECT xid FROM feed_marks ORDER BY xid DESC LIMIT 1), '0'
)
WHERE NOT {IS_READ_ONLY}
-- Also of the number: after a crash, the sequence of a database that was copied may give the last ones again.
ON CONFLICT DO NOTHING
""")
_COMPARE = sa.text(f"""
SELECT {PRESENT} AS present, own.number IS NOT NULL AS is_known, CAST((
    SELECT first_xid FROM feed_histories AS later
    WHERE later.number > own.number AND later.database_id = own.database_id
    ORDER BY first_xid LIMIT 1
) AS text) AS first_xid, EXISTS (
    SELECT FROM ({_durable("xid = CAST(:end_xid AS xid8)", "log_id = CAST(:end_id AS bigint)")}) AS durable
    WHERE {_NAMED} = CAST(:end AS text)
) AS has_end
FROM (SELECT) AS nothing LEFT JOIN feed_histories AS own
    ON own.history_id = CAST(:history AS uuid) AND own.database_id = {_DATABASE}
""")


@dataclasses.dataclass(frozen=True, slots=True)
class Here:
    """Where a reader is: its history and its snapshot, up to the last durable row."""

    history: str
    end: str
    current: Snapshot
    floor: int
    last_id: int

    @property
    def position(self) -> Position:
        """After all committed rows: everything committed from now on comes after it."""
        return Position(self.history, self.end, self.current)


async def look(connection: sqlalchemy_asyncio.AsyncConnection) -> Here:
    """Returns where a reader on that connection is. Raises StoreUnavailable on a replica."""
    while True:
        here = await read(connection, (await connection.execute(_LOOK)).one())
        if here is not None:
            return here


async def read(connection: sqlalchemy_asyncio.AsyncConnection, row: sa.Row[Any]) -> Here | None:
    """Returns the row of HERE, or None, having noted the history, if that was missing: then read again.

    Raises StoreUnavailable on a replica, whose snapshots list no transactions in progress.
    """
    if row.is_read_only:
        await _refuse(connection)
    if row.history is None:
        await note(connection)
        return None
    # Ids above the last durable row may be given again after a crash: those of transactions that rolled back, too.
    current = Snapshot.parse(row.current).below(int(row.end_row.partition(".")[0]) + 1)
    return Here(row.history, row.end_row, current, int(row.floor), row.last_id)


async def require_primary(connection: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Raises StoreUnavailable on a replica, in a transaction of which no statement has read yet."""
    if (await connection.execute(_IS_READ_ONLY)).scalar_one():
        await _refuse(connection)


async def _refuse(connection: sqlalchemy_asyncio.AsyncConnection) -> NoReturn:
    await connection.invalidate()  # or the pool would offer the same replica again
    raise errors.StoreUnavailable(READ_ONLY)


async def note(connection: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Notes the history that PostgreSQL is in, unless it is noted, or this is a replica."""
    await connection.execute(_NOTE)


async def carry_over(connection: sqlalchemy_asyncio.AsyncConnection, position: Position) -> Position:
    """Returns what a position of an earlier history is in the present one, which is noted.

    Within a window, it stays as it is, because what is left of the window does not depend on what came later; it is
    carried over once it is at rest. Raises InvalidArgument for an unknown history.
    """
    end_xid, end_id, _ = position.end.split(".")
    parameters = {"history": position.history, "end": position.end, "end_xid": end_xid, "end_id": int(end_id)}
    found = (await connection.execute(_COMPARE, parameters)).one()
    if not found.is_known:
        raise errors.InvalidArgument(errors.Violation("cursor", ELSEWHERE))
    if position.upto is not None or found.present in (None, position.history):
        return position
    if found.has_end:
        return dataclasses.replace(position, history=found.present)
    return Position(found.present, position.end, position.seen.below(int(found.first_xid)))
