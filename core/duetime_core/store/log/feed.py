"""The feed of all changes: every log row once, in an order in which each task's versions rise.

Ids alone cannot say what is new, because a row with a lower id may be committed later. PostgreSQL's snapshots
can: what a reader has seen is what a snapshot sees, and what is new is what the next snapshot sees besides.
A long transaction elsewhere holds up only its own rows.
"""

import dataclasses
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.model.snapshot import Position, Snapshot
from duetime_core.postgres import database
from duetime_core.store.tasks import columns as task_columns


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One log row, with what a filter asks about its task, and the position right after it."""

    log: task.TaskLog
    name: str
    queue: str
    xid: int
    position: Position


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """What was new. Reading goes on from `position`; `is_last` is False where more is there already."""

    entries: list[Entry]
    position: Position
    is_last: bool


ELSEWHERE = "must come from a watch of this database"
"""What is wrong with a cursor of another one, or of this one before it was restored."""

_LOG_COLUMNS = ", ".join(f"task_logs.{column}" for column in task_columns.LOG_COLUMNS.split(", "))

_NOW = sa.text("SELECT CAST(pg_current_snapshot() AS text)")


def _read(which: str, *, order: str) -> sa.TextClause:
    # `pg_current_snapshot()` is the very snapshot that this statement reads with, so up to it the answer is complete.
    return sa.text(f"""
        SELECT entry.*, CAST(pg_current_snapshot() AS text) AS current
        FROM (SELECT coalesce(CAST(:upto AS pg_snapshot), pg_current_snapshot()) AS upto) AS bound
        LEFT JOIN LATERAL (
            SELECT {_LOG_COLUMNS}, tasks.name, tasks.queue, CAST(task_logs.xid AS text) AS xid, task_logs.log_id
            FROM task_logs LEFT JOIN tasks USING (task_id)
            WHERE {which}
                AND pg_visible_in_snapshot(task_logs.xid, bound.upto)
                AND (CAST(:task_ids AS bigint[]) IS NULL OR task_logs.task_id = ANY(CAST(:task_ids AS bigint[])))
            ORDER BY {order}
            LIMIT :limit
        ) AS entry ON true
        ORDER BY entry.log_id
    """)


# What `seen` does not see, as the index of xid finds it; the bounds that add nothing have the planner expect few rows,
# whatever it knows of xid. All of that is sorted by log_id, for which the index of log_id must not be used (+ 0): it
# begins with the oldest row. The pages that follow go on in that index where the one before ended, so that a window
# costs what it holds, and not its square.
_READ_FIRST = _read(
    """(
        task_logs.xid >= pg_snapshot_xmax(CAST(:seen AS pg_snapshot)) AND task_logs.xid < pg_snapshot_xmax(bound.upto)
        OR task_logs.xid = ANY(ARRAY(SELECT pg_snapshot_xip(CAST(:seen AS pg_snapshot))))
            AND task_logs.xid >= pg_snapshot_xmin(CAST(:seen AS pg_snapshot))
            AND task_logs.xid < pg_snapshot_xmax(CAST(:seen AS pg_snapshot))
    )""",
    order="task_logs.log_id + 0",
)
_READ_ON = _read(
    "task_logs.log_id > :log_id AND NOT pg_visible_in_snapshot(task_logs.xid, CAST(:seen AS pg_snapshot))",
    order="task_logs.log_id",
)


_DATABASE_ID = sa.text("""
SELECT format('%s/%s', system_identifier, pg_database.oid) FROM pg_control_system(), pg_database
WHERE datname = current_database()
""")


async def now(engine: sqlalchemy_asyncio.AsyncEngine) -> Position:
    """Returns the position from which everything that is committed from now on is new."""
    with database.unavailable():
        async with engine.connect() as connection:
            return Position(Snapshot.parse((await connection.execute(_NOW)).scalar_one()))


async def database_id(engine: sqlalchemy_asyncio.AsyncEngine) -> str:
    """Returns what names this database; a replica has the same, and one that was restored from a dump another."""
    with database.unavailable():
        async with engine.connect() as connection:
            return str((await connection.execute(_DATABASE_ID)).scalar_one())


def require_past(position: Position, current: Snapshot) -> None:
    """Raises InvalidArgument for a position that lies in the future of `current`: it is another database's."""
    upto = position.upto or current
    if not (current.covers(upto) and upto.covers(position.seen)):
        raise errors.InvalidArgument(errors.Violation("cursor", ELSEWHERE))


async def read(
    engine: sqlalchemy_asyncio.AsyncEngine,
    position: Position,
    *,
    task_ids: Collection[int] | None = None,
    limit: int,
) -> Page:
    """Returns up to `limit` log rows after `position`: all of them, or those of certain tasks.

    Raises InvalidArgument for a position that lies in this database's future: it is another database's.
    """
    parameters = {
        "seen": str(position.seen),
        "upto": None if position.upto is None else str(position.upto),
        "log_id": position.log_id,
        "task_ids": None if task_ids is None else list(task_ids),
        "limit": limit,
    }
    with database.unavailable():
        async with engine.connect() as connection:
            statement = _READ_ON if position.log_id else _READ_FIRST
            found = (await connection.execute(statement, parameters)).all()
    current = Snapshot.parse(found[0].current)
    require_past(position, current)
    upto = position.upto or current
    entries = [
        Entry(task_columns.read_log(row), row.name, row.queue, int(row.xid), Position(position.seen, upto, row.log_id))
        for row in found
        if row.log_id is not None
    ]
    if len(entries) < limit:
        return Page(entries, Position(upto), is_last=upto.covers(current))
    return Page(entries, entries[-1].position, is_last=False)
