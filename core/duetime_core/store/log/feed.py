"""The feed of all changes: every log row once, in an order in which each task's versions rise.

Ids alone cannot identify new rows, because a row with a lower id may be committed later. PostgreSQL's snapshots can: a
reader has read all rows that one snapshot sees, and the new ones are those that only the next snapshot sees. A long
transaction elsewhere delays only its own rows.

It has the rows of all namespaces, each with its own: who reads it for a caller asks for those of one namespace.

The rows between two snapshots are a *window*, read in the order of log_id. A page costs what it holds, however long the
window is: a short one is found by transaction id and sorted, a long one is read by log_id from where it begins.
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.model.snapshot import Position
from duetime_core.postgres import database
from duetime_core.store.log import histories
from duetime_core.store.tasks import columns as task_columns
from duetime_core.store.tasks import read as task_read

SHORT_WINDOW = 10_000
"""The most rows that are sorted for a page."""

TOO_OLD = "is too old: changes after it are no longer kept. Begin again without it"
"""The violation of a cursor after which log rows were deleted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One log row, its namespace, and the position right after it."""

    log: task.TaskLog
    xid: int
    position: Position
    namespace_id: int


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """New log rows. Reading continues from `position`; `is_last` is False if there are more already.

    `history` is the present one, in which the page was read. In the middle of a window, `position` may be of an earlier
    one.
    """

    entries: list[Entry]
    position: Position
    is_last: bool
    history: str


# A process of the release before logs neither, as while an upgrade is under way: then the task has them, as long as it
# is kept.
_OF_TASK = {
    column: f"""coalesce(task_logs.{column}, (
                SELECT {column} FROM tasks WHERE task_logs.{column} IS NULL AND tasks.task_id = task_logs.task_id
            ), (
                SELECT {column} FROM ended_tasks
                WHERE task_logs.{column} IS NULL AND ended_tasks.task_id = task_logs.task_id LIMIT 1
            )) AS {column}"""
    for column in ("queue", "name")
}
_LOG_COLUMNS = ", ".join(_OF_TASK.get(column, f"task_logs.{column}") for column in task_columns.LOG)

_COLUMNS = f"{_LOG_COLUMNS}, task_logs.xid, task_logs.log_id, task_logs.namespace_id"

_SEEN = "CAST(:seen AS pg_snapshot)"
_UPTO = "CAST(:upto AS pg_snapshot)"
# The rows of the transactions that `seen` lists as in progress; the redundant bounds make the planner expect few.
_WERE_OPEN = f"""
    SELECT {_COLUMNS} FROM task_logs
    WHERE xid = ANY(ARRAY(SELECT pg_snapshot_xip({_SEEN})))
        AND xid >= pg_snapshot_xmin({_SEEN}) AND xid < pg_snapshot_xmax({_SEEN})
"""
# `limit` counts rows before they are filtered by task_ids and namespace, so that a page of few tasks costs no more than
# one of all.
_ANSWER = f"""
SELECT entry.*, CAST(entry.xid AS text) AS entry_xid, here.*, page.log_id AS read_upto, page.count AS read
FROM ({histories.HERE}) AS here
CROSS JOIN (SELECT max(log_id) AS log_id, count(*) AS count FROM page) AS page
LEFT JOIN page AS entry ON (CAST(:task_ids AS bigint[]) IS NULL OR entry.task_id = ANY(CAST(:task_ids AS bigint[])))
    AND (CAST(:only AS int) IS NULL OR entry.namespace_id = CAST(:only AS int))
ORDER BY entry.log_id
"""

# `pg_current_snapshot()` is the snapshot that this statement reads with, so the result is complete up to it.
_READ_SHORT = sa.text(f"""
WITH later AS MATERIALIZED (
    SELECT {_COLUMNS} FROM task_logs WHERE xid >= pg_snapshot_xmax({_SEEN})
    ORDER BY xid LIMIT CAST(:short AS bigint) + 1
), is_short AS MATERIALIZED (SELECT count(*) <= CAST(:short AS bigint) AS is_short FROM later), page AS MATERIALIZED (
    SELECT * FROM (SELECT * FROM later UNION ALL {_WERE_OPEN}) AS unread WHERE (SELECT is_short FROM is_short)
    ORDER BY log_id LIMIT :limit
)
SELECT answer.*, (SELECT is_short FROM is_short) AS is_short FROM ({_ANSWER}) AS answer
""")

# Every row of a later transaction is above the log_id of a mark before it.
_READ_LONG = sa.text(f"""
WITH start AS MATERIALIZED (
    SELECT greatest(CAST(:log_id AS bigint), (
        SELECT log_id FROM feed_marks WHERE xid <= pg_snapshot_xmax({_SEEN}) ORDER BY xid DESC LIMIT 1
    )) AS log_id
), page AS MATERIALIZED (
    SELECT * FROM (
        (
            SELECT {_COLUMNS} FROM task_logs
            WHERE log_id > (SELECT log_id FROM start) AND log_id <= CAST(:last_id AS bigint)
                AND pg_visible_in_snapshot(xid, {_UPTO}) AND NOT pg_visible_in_snapshot(xid, {_SEEN})
            ORDER BY log_id LIMIT :limit
        ) UNION ALL (
            -- Sorted by an expression, because the index of log_id would be read from its beginning.
            SELECT * FROM ({_WERE_OPEN}) AS were_open
            WHERE log_id > CAST(:log_id AS bigint) AND log_id <= (SELECT log_id FROM start)
                AND pg_visible_in_snapshot(xid, {_UPTO})
            ORDER BY log_id + 0 LIMIT :limit
        )
    ) AS unread
    ORDER BY log_id LIMIT :limit
)
SELECT answer.*, true AS is_short FROM ({_ANSWER}) AS answer
""")


async def now(engine: sqlalchemy_asyncio.AsyncEngine) -> Position:
    """Returns the position after all committed rows: everything committed from now on comes after it.

    Raises StoreUnavailable on a replica.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            return (await histories.look(connection)).position


async def resume(engine: sqlalchemy_asyncio.AsyncEngine, position: Position) -> Position:
    """Returns the position in the database's present history from which all that follows `position` is read.

    Raises InvalidArgument for a position of another database, of a state that this one lost, or after which log rows
    were deleted, and StoreUnavailable on a replica.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            here = await histories.look(connection)
            if position.history != here.history:
                position = await histories.carry_over(connection, position)
            _require_readable(position, here)
            return position


async def read(
    engine: sqlalchemy_asyncio.AsyncEngine,
    position: Position,
    *,
    namespace_id: int | None,
    task_ids: Collection[int] | None = None,
    limit: int,
) -> Page:
    """Returns up to `limit` log rows after `position`, of all tasks or of `task_ids`. Raises as `resume` does.

    `namespace_id` is None for a reader that gives each caller only the rows of its namespace.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            while True:
                statement = _READ_SHORT if position.upto is None else _READ_LONG
                parameters = {**_parameters(position, task_ids, limit), "only": namespace_id}
                found = (await connection.execute(statement, parameters)).all()
                here = await histories.read(connection, found[0])
                if here is None:
                    continue
                if position.history != here.history:
                    carried = await histories.carry_over(connection, position)
                    if carried != position:
                        position = carried
                        continue
                _require_readable(position, here)
                if found[0].is_short:
                    return _page(position, here, found, limit)
                position = _window(position, here)


async def read_task(
    engine: sqlalchemy_asyncio.AsyncEngine, task_id: int, *, after_version: int, limit: int
) -> Sequence[task.TaskLog]:
    """Returns up to `limit` log rows of one task, as `list_logs` does. Raises StoreUnavailable on a replica."""
    with database.unavailable():
        async with database.transaction(engine) as connection:
            await histories.require_primary(connection)
            return await task_read.log_rows(connection, task_id, after_version=after_version, limit=limit)


def _parameters(position: Position, task_ids: Collection[int] | None, limit: int) -> dict[str, Any]:
    parameters = {
        "seen": str(position.seen),
        "task_ids": None if task_ids is None else list(task_ids),
        "limit": limit,
    }
    if position.upto is None:
        parameters["short"] = SHORT_WINDOW
    else:
        parameters |= {"upto": str(position.upto), "log_id": position.log_id, "last_id": position.last_id}
    return parameters


def _window(position: Position, here: histories.Here) -> Position:
    """Returns the beginning of the window from a position at rest to `here`."""
    return Position(position.history, here.end, position.seen, here.current, 0, here.last_id)


def _page(position: Position, here: histories.Here, found: Sequence[sa.Row[Any]], limit: int) -> Page:
    window = _window(position, here) if position.upto is None else position
    entries = [
        Entry(
            task_columns.read_log(row),
            int(row.entry_xid),
            dataclasses.replace(window, log_id=row.log_id),
            row.namespace_id,
        )
        for row in found
        if row.log_id is not None
    ]
    if found[0].read == limit:
        return Page(
            entries, dataclasses.replace(window, log_id=found[0].read_upto), is_last=False, history=here.history
        )
    end = window.at_rest()
    is_last = end.history == here.history and end.seen.covers(here.current)
    return Page(entries, end, is_last, here.history)


def _require_readable(position: Position, here: histories.Here) -> None:
    if position.history == here.history and not here.current.covers(position.at_rest().seen):
        raise errors.InvalidArgument(errors.Violation("cursor", histories.ELSEWHERE))
    if position.seen.xmin <= here.floor:
        raise errors.InvalidArgument(errors.Violation("cursor", TOO_OLD))
