"""Callers' changes to many tasks at once, in batches: each is one statement that logs every task."""

import dataclasses
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database, error_mapping, namespaced
from duetime_core.process import patience
from duetime_core.store.tasks import columns, edits, ids
from duetime_core.store.tasks import page as task_page

BATCH = 1_000
_BATCH_SECONDS = 3.0
_LEAST_SECONDS = 0.5
"""A batch that takes longer, or until the call is over, is rolled back, and repeated with a tenth of its tasks."""
_SHORT_SECONDS = 0.2
"""After a batch that was faster, the next one may be larger."""

_LIMIT_TIME = sa.text("SELECT set_config('statement_timeout', :milliseconds, true)")
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
    Batches are smaller while the database is slow. Raises StoreUnavailable, but not if a batch was too slow after
    others were changed: then the rest is for another call.
    """
    assignments, parameters = edits.assigning(changes) if changes else ("", {})
    has_them = _has(changes) if changes else "false"
    done: list[int] = []
    # Tasks that are created later are not part of the change. By ids and not by times, because a claim during the call
    # updates a task, and a clock may be set back.
    last_id, ends = await ids.last(engine), time.monotonic() + seconds
    waiting, limit = patience.Patience(ends), BATCH
    while True:
        after, left = None, 0
        before = len(done)
        while True:
            page, filtering = task_page.page_statement(wanted, after=after)
            statement = _statement(what, page, assignments, has_them)
            given = {**filtering, **parameters, "last_id": last_id, "done": done, "limit": limit, "actor": actor}
            began = time.monotonic()
            try:
                found = await _execute(engine, statement, given, ends=ends)
            except errors.StoreUnavailable as error:
                if not error_mapping.is_timeout(error) or (time.monotonic() > ends and not done):
                    raise
                if time.monotonic() > ends:
                    progress.has_more = True
                    return
                limit = max(1, limit // 10)
                continue
            edited = [columns.read_changed(row) for row in found if row.task_id is not None]
            page_row = found[0]
            progress.count, left = progress.count + len(edited), left + page_row.locked_by_others
            done += [each.task_id for each in edited]
            if edited:
                yield edited
            if page_row.read < limit:
                break
            if time.monotonic() > ends:
                progress.has_more = True
                return
            after = (page_row.last_time, page_row.last_id)
            if time.monotonic() - began < _SHORT_SECONDS:
                limit = min(limit * 2, BATCH)
        # While pages were read, a change by others may have put a task before the page that was next: a pass that finds
        # nothing shows that there is none. One page alone is one snapshot.
        has_progress = len(done) > before
        if not left and (after is None or not has_progress):
            return
        if not await waiting.wait(has_progress=has_progress):
            progress.has_more = True
            return


async def _execute(
    engine: sqlalchemy_asyncio.AsyncEngine, statement: sa.TextClause, parameters: dict[str, Any], *, ends: float
) -> Sequence[sa.Row[Any]]:
    seconds = max(_LEAST_SECONDS, min(_BATCH_SECONDS, ends - time.monotonic()))
    with database.unavailable():
        async with database.transaction(engine) as connection:
            await connection.execute(_LIMIT_TIME, {"milliseconds": str(round(1000 * seconds))})
            return (await connection.execute(statement, parameters)).all()


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
                SELECT FROM tasks
                WHERE tasks.task_id = page.task_id AND tasks.namespace_id = :namespace_id AND {has_them} OFFSET 0
            )"""
    )
    match what:
        case task.Change.UPDATED:
            changing = [edits.of_updated(assignments, wanted, locking)]
        case task.Change.CANCELLED:
            changing = [edits.of_ended("cancelled", is_deleted=False, wanted=wanted, locking=locking, has_running=True)]
        case task.Change.RETRIED:
            changing = [edits.of_retried(wanted, locking)]
        case _:
            changing = [
                edits.of_ended("cancelled", is_deleted=True, wanted=wanted, locking=locking, has_running=False),
                edits.of_deleted(wanted, locking),
                """deleted AS (
            SELECT task_id, queue, execution_time, status, namespace_id FROM ended
            UNION ALL SELECT task_id, queue, execution_time, status, namespace_id FROM edited
        )""",
            ]
    return namespaced.text(f"""
        WITH page AS MATERIALIZED ({page}), candidates AS MATERIALIZED (
            SELECT task_id FROM page WHERE task_id <= :last_id AND task_id <> ALL(CAST(:done AS bigint[])) {has_not}
        ), {", ".join(changing)}
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
    what: f"edited.task_id, edited.queue, edited.execution_time, now(), edited.namespace_id, {status}"
    for what, status in (
        (task.Change.UPDATED, "'pending'"),
        (task.Change.RETRIED, "'pending'"),
        (task.Change.CANCELLED, "'cancelled'"),
        (task.Change.DELETED, "edited.status"),
    )
}
