"""Reading tasks and their history."""

import dataclasses
import datetime
import functools
from collections.abc import Collection, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database, schema
from duetime_core.store.tasks import columns as task_columns

Order = Literal["execution_time", "execution_time desc", "task_id", "task_id desc"]


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks; what is empty or None does not matter. `due_from` is inclusive, `due_before` is not."""

    statuses: tuple[task.Status, ...] = ()
    queue: str | None = None
    name: str | None = None
    due_from: datetime.datetime | None = None
    due_before: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TaskPage:
    """Tasks in their order. Where `is_last` is False there are more after them."""

    tasks: list[task.Task]
    is_last: bool


MAX_PAGE_BYTES = 1_000_000
"""A page ends with the task whose JSON takes it there. A thousand tasks with all that they may hold would be 500 MB,
and as objects ten times that."""

_GET = sa.text(f"SELECT {task_columns.TASK_COLUMNS} FROM tasks WHERE task_id = :task_id AND deleted_at IS NULL")
_GET_STATUS = sa.text("SELECT status FROM tasks WHERE task_id = :task_id AND deleted_at IS NULL")
_LIST_LOGS = sa.text(f"""
SELECT {task_columns.LOG_COLUMNS} FROM task_logs
WHERE task_id = :task_id AND version > :after_version
ORDER BY version
LIMIT :limit
""")
_EXISTS = sa.text("SELECT 1 FROM tasks WHERE task_id = :task_id")


async def get(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> task.Task:
    """Returns that task; raises TaskNotFound if there is none, or it was deleted."""
    row = await _one(engine, _GET, task_id)
    return task_columns.read_task(row)


async def get_status(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> task.Status:
    """Returns that task's status; raises TaskNotFound as `get` does."""
    row = await _one(engine, _GET_STATUS, task_id)
    return task.Status(row[0])


async def list_tasks(
    engine: sqlalchemy_asyncio.AsyncEngine,
    wanted: Filter,
    *,
    order: Order,
    after: tuple[datetime.datetime, int] | None,
    limit: int,
) -> TaskPage:
    """Returns up to `limit` of the tasks that match, in that order; fewer if their JSON is large.

    `after` is the (execution_time, task_id) of the last one on the page before, so that a page costs the same
    wherever it lies.
    """
    statement, parameters = list_statement(wanted, order=order, after=after)
    with database.unavailable():
        async with engine.connect() as connection:
            # One more than a page tells whether there is another.
            listed = (await connection.execute(statement, {**parameters, "limit": limit + 1})).all()
    tasks = [task_columns.read_task(row) for row in listed[:limit]]
    return TaskPage(tasks, is_last=not listed or len(tasks) == listed[0].found)


def list_statement(
    wanted: Filter, *, order: Order, after: tuple[datetime.datetime, int] | None
) -> tuple[sa.TextClause, dict[str, Any]]:
    """Returns the statement that lists, but for its `limit`, and its parameters."""
    parameters = {field: value for field in _CONDITIONS if (value := getattr(wanted, field)) is not None}
    statement = _list(wanted.statuses, tuple(parameters), order, is_first=after is None)
    if after is not None:
        parameters["after_time"], parameters["after_id"] = after
    return statement, parameters


def page_statement(wanted: Filter, *, after: tuple[datetime.datetime, int] | None) -> tuple[str, dict[str, Any]]:
    """Returns the SQL of a page of the tasks that match, in the order of their execution_time, and its parameters.

    It answers task_id and execution_time, of at most `limit` tasks after the (execution_time, task_id) `after`.
    """
    parameters = {field: value for field in _CONDITIONS if (value := getattr(wanted, field)) is not None}
    page, _ = _page("task_id, execution_time", wanted.statuses, tuple(parameters), "execution_time", after is None)
    if after is not None:
        parameters["after_time"], parameters["after_id"] = after
    return page, parameters


@functools.lru_cache(maxsize=256)
def _list(statuses: tuple[task.Status, ...], fields: tuple[str, ...], order: Order, *, is_first: bool) -> sa.TextClause:
    return sa.text(_cut_by_size(*_page(task_columns.TASK_COLUMNS, statuses, fields, order, is_first)))


def _page(
    columns: str, statuses: tuple[task.Status, ...], fields: tuple[str, ...], order: Order, is_first: bool
) -> tuple[str, str]:
    """Returns the SQL of a page, and its ordering."""
    column, _, descending = order.partition(" ")
    direction, beyond = ("DESC", "<") if descending else ("ASC", ">")
    conditions = ["deleted_at IS NULL", *(_CONDITIONS[field] for field in fields)]
    if column == "task_id":
        ordering = f"task_id {direction}"
        place = f"task_id {beyond} :after_id"
        parts = [(_is_one_of(statuses) if statuses else "true", "execution_time")]
    else:
        ordering = f"execution_time {direction}, task_id {direction}"
        place = f"(execution_time, task_id) {beyond} (:after_time, :after_id)"
        parts = _parts(frozenset(statuses or task.Status), fields)
    if not is_first:
        conditions.append(place)
    selects = (f"({_select(columns, [which, *conditions], ordering, time)})" for which, time in parts)
    return f"SELECT * FROM ({' UNION ALL '.join(selects)}) AS merged ORDER BY {ordering} LIMIT :limit", ordering


def _parts(statuses: frozenset[task.Status], fields: Collection[str]) -> list[tuple[str, str]]:
    """Splits tasks of these statuses by the index that has them in the order of execution.

    Returns the condition of each part, and what that index has for the execution_time.
    """
    parts = []
    others = set(statuses)
    if task.Status.RUNNING in statuses:
        # As few as there are places: they are sorted.
        others.remove(task.Status.RUNNING)
        parts.append((_is_one_of([task.Status.RUNNING]), "execution_time"))
    if task.Status.PENDING in statuses and "queue" in fields:
        others.remove(task.Status.PENDING)

        parts += [(schema.ORDINARY, schema.DUE_AT), (f"{schema.NOT_QUARANTINED} AND is_next", schema.DUE_AT)]
        levels = range(1, task.MAX_PRIORITY + 1)
        parts += [(f"{schema.URGENT} AND priority = {level}", schema.DUE_AT) for level in levels]
        parts.append((schema.QUARANTINED, schema.DUE_AT))
    if others and {"queue", "name"} & set(fields):
        parts.append((_is_one_of(others), "execution_time"))
    else:
        parts += [(_is_one_of([status]), "execution_time") for status in sorted(others)]
    return parts


def _is_one_of(statuses: Collection[task.Status]) -> str:
    # Written out and not bound, so that partial indexes are found, and a plan that is kept knows how many there are.
    texts = sorted(f"'{task.Status(status)}'" for status in statuses)
    return f"status = {texts[0]}" if len(texts) == 1 else f"status IN ({', '.join(texts)})"


def _select(columns: str, conditions: Sequence[str], ordering: str, time: str) -> str:
    which = f"WHERE {' AND '.join(conditions)} ORDER BY {ordering} LIMIT :limit"
    return f"SELECT {columns} FROM tasks {which.replace('execution_time', time)}"


def _cut_by_size(page: str, ordering: str) -> str:
    """Returns the statement that reads `page` up to MAX_PAGE_BYTES, and always its first task.

    How large JSON is as text, PostgreSQL knows only once it has written it; how much it stores of it, it knows. So
    that decides first: text is written at most a few times as much as a page holds, instead of all that `page` finds.
    """
    above = f"(ORDER BY {ordering} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    stored = "pg_column_size(task_data) + coalesce(pg_column_size(result), 0)"
    written = "octet_length(CAST(task_data AS text)) + coalesce(octet_length(CAST(result AS text)), 0)"
    return f"""
        SELECT {task_columns.TASK_COLUMNS}, found FROM (
            SELECT *, sum({written}) OVER {above} AS written_above FROM (
                SELECT *, sum({stored}) OVER {above} AS stored_above, count(*) OVER () AS found FROM ({page}) AS page
            ) AS stored
            WHERE coalesce(stored_above, 0) < {MAX_PAGE_BYTES}
        ) AS written
        WHERE coalesce(written_above, 0) < {MAX_PAGE_BYTES}
        ORDER BY {ordering}
    """


_CONDITIONS = {
    "queue": "queue = :queue",
    "name": "name = :name",
    "due_from": "execution_time >= :due_from",
    "due_before": "execution_time < :due_before",
}


async def list_logs(
    engine: sqlalchemy_asyncio.AsyncEngine, task_id: int, *, after_version: int, limit: int
) -> Sequence[task.TaskLog]:
    """Returns up to `limit` log rows of that task with a version above `after_version`, oldest first.

    A deleted task's too; raises TaskNotFound if there never was such a task.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            parameters = {"task_id": task_id, "after_version": after_version, "limit": limit}
            logs = [task_columns.read_log(row) for row in await connection.execute(_LIST_LOGS, parameters)]
            if not logs and (await connection.execute(_EXISTS, {"task_id": task_id})).first() is None:
                raise errors.TaskNotFound.of(task_id)
            return logs


async def _one(engine: sqlalchemy_asyncio.AsyncEngine, statement: sa.TextClause, task_id: int) -> sa.Row[Any]:
    with database.unavailable():
        async with engine.connect() as connection:
            row = (await connection.execute(statement, {"task_id": task_id})).one_or_none()
    if row is None:
        raise errors.TaskNotFound.of(task_id)
    return row
