"""Callers' changes to many tasks at once, in batches: each is one statement that logs every task."""

import dataclasses
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.tasks import columns, edit, ids
from duetime_core.store.tasks import page as task_page

BATCH = 1_000
_MOST_PASSES = 3
"""How many passes are made over the tasks, for those that were locked or that others changed meanwhile."""

_TARGETS = {
    "queue": "queue = :new_queue",
    "execution_time": (
        "time_zone IS NULL AND execution_time BETWEEN :new_execution_time AND greatest(:new_execution_time, now())"
    ),
}
"""By the field of a move, the condition of the tasks that have it already."""


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
    `changes` are those of `edit.update`, and tasks that have them already are skipped. A task that exists at the call
    is changed once at most. Locked tasks are left for a later pass; `progress.has_more` is true if any may remain.
    """
    assignments, parameters = edit.assigning(changes) if changes else ("", {})
    has_them = _has(changes) if changes else "false"
    done: list[int] = []
    # Tasks that are created later are not part of the change. By ids and not by times, because a claim during the call
    # updates a task, and a clock may be set back.
    last_id, ends = await ids.last(engine), time.monotonic() + seconds
    for _ in range(_MOST_PASSES):
        after, left = None, 0
        before = len(done)
        while True:
            page, filtering = task_page.page_statement(wanted, after=after)
            statement = _statement(what, page, assignments, has_them)
            given = {**filtering, **parameters, "last_id": last_id, "done": done, "limit": BATCH, "actor": actor}
            with database.unavailable():
                async with engine.connect() as connection:
                    found = (await connection.execute(statement, given)).all()
            edited = [columns.read_changed(row) for row in found if row.task_id is not None]
            page_row = found[0]
            progress.count, left = progress.count + len(edited), left + page_row.locked_by_others
            done += [each.task_id for each in edited]
            if edited:
                yield edited
            if page_row.read < BATCH:
                break
            if time.monotonic() > ends:
                progress.has_more = True
                return
            after = (page_row.last_time, page_row.last_id)
        # While pages were read, a change by others may have put a task before the page that was next: a pass that finds
        # nothing shows that there is none. One page alone is one snapshot.
        if not left and (after is None or len(done) == before):
            return
    progress.has_more = True


def _has(changes: Mapping[str, Any]) -> str:
    """Returns the SQL condition that a task is where a move would put it: when a call is repeated, others are left."""
    conditions = ["lost_leases = 0", *(_TARGETS[field] for field in changes)]
    return " AND ".join(conditions)


def _statement(what: task.Change, page: str, assignments: str, has_them: str) -> sa.TextClause:
    # Rows by their ids, so that the page is read once; those that others have locked are passed over.
    wanted = "{}.task_id = ANY(ARRAY(SELECT task_id FROM candidates))"
    locking = "FOR UPDATE SKIP LOCKED"
    has_not = (
        ""
        if has_them == "false"
        else f"""AND NOT EXISTS (
                SELECT FROM tasks WHERE tasks.task_id = page.task_id AND {has_them} OFFSET 0
            )"""
    )
    match what:
        case task.Change.UPDATED:
            edits = [edit.of_updated(assignments, wanted, locking)]
        case task.Change.CANCELLED:
            edits = [edit.of_ended("cancelled", is_deleted=False, wanted=wanted, locking=locking, has_running=True)]
        case task.Change.RETRIED:
            edits = [edit.of_retried(wanted, locking)]
        case _:
            edits = [
                edit.of_ended("cancelled", is_deleted=True, wanted=wanted, locking=locking, has_running=False),
                edit.of_deleted(wanted, locking),
                """deleted AS (
            SELECT task_id, queue, execution_time, status FROM ended
            UNION ALL SELECT task_id, queue, execution_time, status FROM edited
        )""",
            ]
    return sa.text(f"""
        WITH page AS MATERIALIZED ({page}), candidates AS MATERIALIZED (
            SELECT task_id FROM page WHERE task_id <= :last_id AND task_id <> ALL(CAST(:done AS bigint[])) {has_not}
        ), {", ".join(edits)}
        SELECT {_CHANGED[what]}, read, last_time, last_id, locked_by_others
        FROM (
            SELECT (SELECT count(*) FROM page) AS read,
                (SELECT execution_time FROM page ORDER BY execution_time DESC, task_id DESC LIMIT 1) AS last_time,
                (SELECT task_id FROM page ORDER BY execution_time DESC, task_id DESC LIMIT 1) AS last_id,
                (SELECT count(*) FROM candidates) - (SELECT count(*) FROM {_EDITED[what]}) AS locked_by_others
        ) AS summary LEFT JOIN {_EDITED[what]} AS edited ON true
    """)


_EDITED = {
    task.Change.UPDATED: "edited",
    task.Change.RETRIED: "edited",
    task.Change.CANCELLED: "ended",
    task.Change.DELETED: "deleted",
}
_CHANGED = {
    what: f"edited.task_id, edited.queue, edited.execution_time, now(), {status}"
    for what, status in (
        (task.Change.UPDATED, "'pending'"),
        (task.Change.RETRIED, "'pending'"),
        (task.Change.CANCELLED, "'cancelled'"),
        (task.Change.DELETED, "edited.status"),
    )
}
