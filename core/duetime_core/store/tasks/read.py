"""Reading tasks and their history."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database, namespaced, schema
from duetime_core.store.tasks import columns as task_columns
from duetime_core.store.tasks import page


@dataclasses.dataclass(frozen=True, slots=True)
class TaskPage:
    """Tasks in order. If `is_last` is False, there are more after them."""

    tasks: list[task.Task]
    is_last: bool


GET = f"""
SELECT * FROM (
    SELECT {task_columns.LIVE_COLUMNS} FROM tasks {task_columns.LIVE}
    WHERE tasks.task_id = :task_id AND tasks.namespace_id = :namespace_id
    UNION ALL
    SELECT {task_columns.ENDED_COLUMNS} FROM ended_tasks
    WHERE task_id = :task_id AND namespace_id = :namespace_id AND {schema.NOT_DELETED}
) AS found LIMIT 1
"""
"""Reads a task of the namespace, wherever it is."""
_GET = namespaced.text(GET)
_GET_STATUS = namespaced.text(f"""
SELECT * FROM (
    SELECT CASE WHEN EXISTS (
        SELECT FROM waiting WHERE waiting.task_id = tasks.task_id AND waiting.namespace_id = :namespace_id
    ) THEN 'pending' ELSE 'running' END AS status
    FROM tasks WHERE task_id = :task_id AND namespace_id = :namespace_id
    UNION ALL
    SELECT status FROM ended_tasks
    WHERE task_id = :task_id AND namespace_id = :namespace_id AND {schema.NOT_DELETED}
) AS found LIMIT 1
""")
_LIST_LOGS = namespaced.text(f"""
SELECT {task_columns.LOG_COLUMNS} FROM task_logs
WHERE task_id = :task_id AND namespace_id = :namespace_id AND version > :after_version
ORDER BY version
LIMIT :limit
""")
_CREATOR = namespaced.text("""
SELECT actor FROM task_logs
WHERE task_id = :task_id AND namespace_id = :namespace_id AND version = 1 AND change = 'created' LIMIT 1
""")
_EXISTS = namespaced.text("""
SELECT FROM tasks WHERE task_id = :task_id AND namespace_id = :namespace_id
UNION ALL SELECT FROM ended_tasks WHERE task_id = :task_id AND namespace_id = :namespace_id
""")


async def get(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> task.Task:
    """Returns that task; raises TaskNotFound if there is none, or it was deleted."""
    row = await _one(engine, _GET, task_id)
    return task_columns.read_task(row)


async def get_status(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> task.Status:
    """Returns that task's status; raises TaskNotFound as `get` does."""
    row = await _one(engine, _GET_STATUS, task_id)
    return task.Status(row.status)


async def creator(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> str | None:
    """Returns the actor that created a task, or None if its log does not have that, any more or at all."""
    with database.unavailable():
        async with engine.connect() as connection:
            found: str | None = (await connection.execute(_CREATOR, {"task_id": task_id})).scalar_one_or_none()
            return found


async def list_tasks(
    engine: sqlalchemy_asyncio.AsyncEngine,
    wanted: page.Filter,
    *,
    order: page.Order,
    after: tuple[datetime.datetime, int] | None,
    limit: int,
) -> TaskPage:
    """Returns up to `limit` of the tasks that match, in that order; fewer if their JSON is large.

    `after` is the (execution_time, task_id) of the last task on the page before: keyset pagination, so that each page
    costs the same.
    """
    statement, parameters = page.list_statement(wanted, order=order, after=after)
    with database.unavailable():
        async with engine.connect() as connection:
            # One more than a page shows whether there is another.
            listed = (await connection.execute(statement, {**parameters, "limit": limit + 1})).all()
    tasks = [task_columns.read_task(row) for row in listed[:limit]]
    return TaskPage(tasks, is_last=not listed or len(tasks) == listed[0].found)


async def require_few_names(
    engine: sqlalchemy_asyncio.AsyncEngine, wanted: page.Filter, *, order: page.Order, field: str
) -> None:
    """Raises InvalidArgument for `field` if a list would search more than `page.MAX_NAMES` names."""
    if not page.searches_names(wanted, order):
        return
    with database.unavailable():
        async with engine.connect() as connection:
            count = (await connection.execute(page.COUNT_NAMES, {"name_prefix": wanted.name_prefix})).scalar_one()
    if count > page.MAX_NAMES:
        description = f"begins more than {page.MAX_NAMES:,} names of tasks; give more of the name, or use `name`"
        raise errors.InvalidArgument(errors.Violation(field, description))


async def list_logs(
    engine: sqlalchemy_asyncio.AsyncEngine, task_id: int, *, after_version: int, limit: int
) -> Sequence[task.TaskLog]:
    """Returns up to `limit` log rows of that task with a version above `after_version`, oldest first.

    A deleted task's too; raises TaskNotFound if there never was such a task.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            return await log_rows(connection, task_id, after_version=after_version, limit=limit)


async def log_rows(
    connection: sqlalchemy_asyncio.AsyncConnection, task_id: int, *, after_version: int, limit: int
) -> Sequence[task.TaskLog]:
    """Does what `list_logs` does, on that connection."""
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
