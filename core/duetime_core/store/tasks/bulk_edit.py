"""Callers' changes to many tasks at once, in batches: each is one statement that logs every task."""

import dataclasses
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import clock, database
from duetime_core.store.tasks import columns, edit
from duetime_core.store.tasks import page as task_page

BATCH = 1_000
_MOST_PASSES = 3
"""How many passes are made over the tasks, for those that were locked."""


@dataclasses.dataclass(slots=True)
class Progress:
    """How far a change of many tasks has come."""

    count: int = 0
    has_more: bool = False


async def change(
    engine: sqlalchemy_asyncio.AsyncEngine,
    what: task.Change,
    wanted: task_page.Filter,
    *,
    changes: Mapping[str, Any] | None = None,
    progress: Progress,
    seconds: float,
    actor: str,
) -> AsyncIterator[list[task.Changed]]:
    """Changes the matching tasks, for `seconds` at most, and yields each batch once it is committed.

    Tasks whose status does not allow the change are skipped; `wanted` names only statuses that do. For an update,
    `changes` are those of `edit.update`. Locked tasks are left for a later pass; `progress.has_more` is true if any
    remain at the end.
    """
    assignments, parameters = edit.assigning(changes) if changes else (edit.MOVES[what], {})
    # A task that this call changed is not changed again, although its new time may put it after the present page.
    began, ends = await clock.now(engine), time.monotonic() + seconds
    for _ in range(_MOST_PASSES):
        after, left = None, 0
        while True:
            page, filtering = task_page.page_statement(wanted, after=after)
            statement = _statement(what, page, assignments)
            given = {**filtering, **parameters, "began": began, "limit": BATCH, "actor": actor}
            with database.unavailable():
                async with engine.connect() as connection:
                    found = (await connection.execute(statement, given)).all()
            edited = [columns.read_changed(row) for row in found if row.task_id is not None]
            page_row = found[0]
            progress.count, left = progress.count + len(edited), left + page_row.locked_by_others
            if edited:
                yield edited
            if page_row.read < BATCH:
                break
            if time.monotonic() > ends:
                progress.has_more = True
                return
            after = (page_row.last_time, page_row.last_id)
        if not left:
            return
    progress.has_more = True


def _statement(what: task.Change, page: str, assignments: str) -> sa.TextClause:
    sources = ", ".join(f"'{status}'" for status in sorted(task.MOVES[what].sources))
    allowed = f"deleted_at IS NULL AND status IN ({sources}) AND updated_at <= :began"
    return sa.text(f"""
        WITH page AS MATERIALIZED ({page}), locked AS MATERIALIZED (
            SELECT task_id FROM tasks WHERE task_id = ANY(ARRAY(SELECT task_id FROM page)) AND {allowed}
            ORDER BY task_id
            FOR UPDATE SKIP LOCKED
        ), edited AS (
            UPDATE tasks SET version = version + 1, updated_at = now(), {assignments}
            WHERE task_id = ANY(ARRAY(SELECT task_id FROM locked))
            RETURNING task_id, queue, status, execution_time, version, retry_count
        ), {columns.write_log("edited", change=f"'{what}'")}
        SELECT {columns.CHANGED}, read, last_time, last_id, locked_by_others
        FROM (
            SELECT (SELECT count(*) FROM page) AS read,
                (SELECT execution_time FROM page ORDER BY execution_time DESC, task_id DESC LIMIT 1) AS last_time,
                (SELECT task_id FROM page ORDER BY execution_time DESC, task_id DESC LIMIT 1) AS last_id,
                (
                    SELECT count(*) FROM tasks
                    WHERE task_id = ANY(ARRAY(SELECT task_id FROM page)) AND {allowed}
                ) - (SELECT count(*) FROM locked) AS locked_by_others
        ) AS summary LEFT JOIN edited ON true
    """)
