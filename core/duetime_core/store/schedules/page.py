"""The page of a list of schedules: which schedules, and the SQL that reads it through an index."""

import dataclasses
import functools
from typing import Any, NamedTuple

import sqlalchemy as sa
import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, schedule
from duetime_core.postgres import database, namespaced, schedule_tables, schema
from duetime_core.store.schedules import columns
from duetime_core.store.tasks import page as task_page


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Selects schedules; a field that is None selects all."""

    name: str | None = None
    queue: str | None = None
    is_paused: bool | None = None


class SchedulePage(NamedTuple):
    """Schedules by their id, and the id after which there are more; None if there are no more."""

    schedules: list[schedule.Schedule]
    following: int | None


_log = structlog.get_logger()

_ABOVE = "(ORDER BY schedule_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"


async def list_schedules(
    engine: sqlalchemy_asyncio.AsyncEngine, wanted: Filter, *, after: int, limit: int
) -> SchedulePage:
    """Returns up to `limit` schedules that match with an id above `after`, by their ids; fewer if their JSON is large.

    One that cannot be read is left out, and logged.
    """
    statement, parameters = list_statement(wanted)
    with database.unavailable():
        async with engine.connect() as connection:
            # One more than a page shows whether there is another.
            found = await connection.execute(statement, {**parameters, "after": after, "limit": limit + 1})
            rows = found.all()
    listed = []
    for row in rows[:limit]:
        try:
            listed.append(columns.read_schedule(row))
        except errors.ScheduleUnreadable as error:
            _log.warning("a schedule is left out of a list", schedule_id=row.schedule_id, reason=str(error))
    is_last = not rows or len(rows[:limit]) == rows[0].found
    return SchedulePage(listed, None if is_last else rows[:limit][-1].schedule_id)


def list_statement(wanted: Filter) -> tuple[sa.TextClause, dict[str, Any]]:
    """Returns the statement of a list and its parameters, without `after` and `limit`."""
    parameters = {field: value for field in ("name", "queue") if (value := getattr(wanted, field)) is not None}
    return _list(tuple(parameters), wanted.is_paused), parameters


@functools.cache
def _list(fields: tuple[str, ...], is_paused: bool | None) -> sa.TextClause:
    conditions = {"name": "name = :name", "queue": f"{schedule_tables.TEMPLATE_QUEUE} = :queue"}
    which = ["schedules.namespace_id = :namespace_id", schema.NOT_DELETED, *(conditions[field] for field in fields)]
    if is_paused is not None:
        # Written out instead of bound, so that a generic plan knows how few they are.
        which.append("is_paused" if is_paused else "NOT is_paused")
    order = schedule_tables.LISTED_BY if fields or is_paused is not None else "schedule_id"
    # Cut by size as lists of tasks are: first by the stored size, which PostgreSQL knows without reading the JSON.
    return namespaced.text(f"""
        SELECT {columns.COLUMNS}, {columns.NEXT_COLUMNS}, found FROM (
            SELECT *, sum(octet_length(CAST(template AS text))) OVER {_ABOVE} AS written_above FROM (
                SELECT *, sum(pg_column_size(template)) OVER {_ABOVE} AS stored_above, count(*) OVER () AS found FROM (
                    SELECT * FROM schedules WHERE {order} > :after AND {" AND ".join(which)}
                    ORDER BY {order} LIMIT :limit
                ) AS page
            ) AS stored
            WHERE coalesce(stored_above, 0) < {task_page.MAX_PAGE_BYTES}
        ) AS schedules {columns.NEXT}
        WHERE coalesce(written_above, 0) < {task_page.MAX_PAGE_BYTES}
        ORDER BY schedules.schedule_id
    """)
