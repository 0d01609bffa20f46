"""The feed of all changes: every log row once, in an order in which each task's versions rise.

Ids alone cannot identify new rows, because a row with a lower id may be committed later. PostgreSQL's snapshots can: a
reader has read all rows that one snapshot sees, and the new ones are those that only the next snapshot sees. A long
transaction elsewhere delays only its own rows.
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
    """One log row, and the position right after it."""

    log: task.TaskLog
    xid: int
    position: Position


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """New log rows. Reading continues from `position`; `is_last` is False if there are more already."""

    entries: list[Entry]
    position: Position
    is_last: bool


ELSEWHERE = "must come from a watch of this database"
"""The violation of a cursor from another database, or from this one before it was restored."""

# A process of the release before logs neither, as while an upgrade is under way: then the task has them, as long as it
# is kept.
_OF_TASK = {
    column: f"""coalesce(task_logs.{column}, (
                SELECT {column} FROM tasks WHERE task_logs.{column} IS NULL AND tasks.task_id = task_logs.task_id
            )) AS {column}"""
    for column in ("queue", "name")
}
_LOG_COLUMNS = ", ".join(_OF_TASK.get(column, f"task_logs.{column}") for column in task_columns.LOG)

_NOW = sa.text("SELECT CAST(pg_current_snapshot() AS text)")


def _read(which: str, *, order: str) -> sa.TextClause:
    # `pg_current_snapshot()` is the snapshot that this statement reads with, so the result is complete up to it.
    return sa.text(f"""
        SELECT entry.*, CAST(pg_current_snapshot() AS text) AS current
        FROM (SELECT coalesce(CAST(:upto AS pg_snapshot), pg_current_snapshot()) AS upto) AS bound
        LEFT JOIN LATERAL (
            SELECT {_LOG_COLUMNS}, CAST(task_logs.xid AS text) AS xid, task_logs.log_id
            FROM task_logs
            WHERE {which}
                AND pg_visible_in_snapshot(task_logs.xid, bound.upto)
                AND (CAST(:task_ids AS bigint[]) IS NULL OR task_logs.task_id = ANY(CAST(:task_ids AS bigint[])))
            ORDER BY {order}
            LIMIT :limit
        ) AS entry ON true
        ORDER BY entry.log_id
    """)


# The rows that `seen` does not see, found by the index of xid; the redundant bounds make the planner expect few rows,
# whatever its statistics of xid. They are sorted by log_id, for which the index of log_id must not be used (+ 0): it
# begins with the oldest row. The following pages continue in that index where the page before ended, so that a window
# of n rows costs n, not its square.
_READ_FIRST = _read(
    """(
        task_logs.xid >= pg_snapshot_xmax(CAST(:seen AS pg_snapshot)) AND task_logs.xid < pg_snapshot_xmax(bound.upto)
        OR task_logs.xid = ANY(ARRAY(SELECT pg_snapshot_xip(CAST(:seen AS pg_snapshot))))
            AND task_logs.xid >= pg_snapshot_xmin(CAST(:seen AS pg_snapshot))
            AND task_logs.xid < pg_snapshot_xmax(CAST(:seen AS pg_snapshot))
    )""",
    order="task_logs.log_id + 0",
)
_READ_NEXT = _read(
    "task_logs.log_id > :log_id AND NOT pg_visible_in_snapshot(task_logs.xid, CAST(:seen AS pg_snapshot))",
    order="task_logs.log_id",
)


_DATABASE_ID = sa.text("""
SELECT format('%s/%s', system_identifier, pg_database.oid) FROM pg_control_system(), pg_database
WHERE datname = current_database()
""")


async def now(engine: sqlalchemy_asyncio.AsyncEngine) -> Position:
    """Returns the position after all committed rows: everything committed from now on comes after it."""
    with database.unavailable():
        async with engine.connect() as connection:
            return Position(Snapshot.parse((await connection.execute(_NOW)).scalar_one()))


async def database_id(engine: sqlalchemy_asyncio.AsyncEngine) -> str:
    """Returns this database's identifier. A replica has the same one, a database restored from a dump has another."""
    with database.unavailable():
        async with engine.connect() as connection:
            return str((await connection.execute(_DATABASE_ID)).scalar_one())


def require_past(position: Position, current: Snapshot) -> None:
    """Raises InvalidArgument for a position in the future of `current`: it is from another database."""
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
    """Returns up to `limit` log rows after `position`, of all tasks or of `task_ids`.

    Raises InvalidArgument for a position in this database's future: it is from another database.
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
            statement = _READ_NEXT if position.log_id else _READ_FIRST
            found = (await connection.execute(statement, parameters)).all()
    current = Snapshot.parse(found[0].current)
    require_past(position, current)
    upto = position.upto or current
    entries = [
        Entry(task_columns.read_log(row), int(row.xid), Position(position.seen, upto, row.log_id))
        for row in found
        if row.log_id is not None
    ]
    if len(entries) < limit:
        return Page(entries, Position(upto), is_last=upto.covers(current))
    return Page(entries, entries[-1].position, is_last=False)
