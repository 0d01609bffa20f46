"""Reading tasks and their history."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import database, errors, task
from duetime_core.store import rows

Order = Literal["execution_time", "execution_time desc", "task_id", "task_id desc"]


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks; what is empty or None does not matter. `due_from` is inclusive, `due_before` is not."""

    statuses: tuple[task.Status, ...] = ()
    queue: str | None = None
    name: str | None = None
    due_from: datetime.datetime | None = None
    due_before: datetime.datetime | None = None


_GET = sa.text(f"SELECT {rows.TASK_COLUMNS} FROM tasks WHERE task_id = :task_id AND deleted_at IS NULL")
_GET_STATUS = sa.text("SELECT status FROM tasks WHERE task_id = :task_id AND deleted_at IS NULL")
_LIST_LOGS = sa.text(f"""
SELECT {rows.LOG_COLUMNS} FROM task_logs
WHERE task_id = :task_id AND version > :after_version
ORDER BY version
LIMIT :limit
""")
_EXISTS = sa.text("SELECT 1 FROM tasks WHERE task_id = :task_id")


async def get(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> task.Task:
    """Returns that task; raises TaskNotFound if there is none, or it was deleted."""
    row = await _one(engine, _GET, task_id)
    return rows.read_task(row)


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
) -> list[task.Task]:
    """Returns up to `limit` of the tasks that match, in that order.

    `after` is the (execution_time, task_id) of the last one on the page before, so that a page costs the same
    wherever it lies.
    """
    statement, parameters = list_statement(wanted, order=order, after=after)
    with database.unavailable():
        async with engine.connect() as connection:
            listed = await connection.execute(statement, {**parameters, "limit": limit})
            return [rows.read_task(row) for row in listed]


def list_statement(
    wanted: Filter, *, order: Order, after: tuple[datetime.datetime, int] | None
) -> tuple[sa.TextClause, dict[str, Any]]:
    """Returns the statement that lists, but for its `limit`, and its parameters."""
    column, _, descending = order.partition(" ")
    direction, beyond = ("DESC", "<") if descending else ("ASC", ">")
    conditions = ["deleted_at IS NULL"]
    parameters: dict[str, Any] = {}
    if wanted.statuses:
        # Written out and not bound, so that a plan that is kept knows how many there are: few run, most are completed.
        statuses = sorted({f"'{task.Status(status)}'" for status in wanted.statuses})
        conditions.append(f"status IN ({', '.join(statuses)})")
    for field, condition in _CONDITIONS.items():
        if (value := getattr(wanted, field)) is not None:
            conditions.append(condition)
            parameters[field] = value
    if after is not None:
        parameters["after_time"], parameters["after_id"] = after
        conditions.append(
            f"task_id {beyond} :after_id"
            if column == "task_id"
            else f"(execution_time, task_id) {beyond} (:after_time, :after_id)"
        )
    ordering = f"task_id {direction}" if column == "task_id" else f"execution_time {direction}, task_id {direction}"
    statement = (
        f"SELECT {rows.TASK_COLUMNS} FROM tasks WHERE {' AND '.join(conditions)} ORDER BY {ordering} LIMIT :limit"
    )
    return sa.text(statement), parameters


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
            logs = [rows.read_log(row) for row in await connection.execute(_LIST_LOGS, parameters)]
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
