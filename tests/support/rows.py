"""The rows of tasks, read, locked and changed behind the store's back: only tests' support knows their tables."""

import contextlib
import datetime
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database

Engine = sqlalchemy_asyncio.AsyncEngine
Connection = sqlalchemy_asyncio.AsyncConnection

ALL = "tasks"
"""What a FROM reads all tasks from, deleted ones too, with the columns of `model.task`; it needs an alias."""


@contextlib.asynccontextmanager
async def _connected(where: Engine | Connection) -> AsyncIterator[Connection]:
    if isinstance(where, Connection):
        yield where
    else:
        async with where.connect() as connection:
            yield connection


async def read(
    where: Engine | Connection, columns: str, condition: str = "true", **parameters: Any
) -> Sequence[sa.Row[Any]]:
    """Returns those columns of the tasks for which the condition holds, ordered by task_id."""
    statement = sa.text(f"SELECT {columns} FROM {ALL} AS tasks WHERE {condition} ORDER BY task_id")
    async with _connected(where) as connection:
        return (await connection.execute(statement, parameters)).all()


async def ids(where: Engine | Connection, condition: str = "true", **parameters: Any) -> list[int]:
    """Returns the ids of the tasks for which the condition holds."""
    return [row.task_id for row in await read(where, "task_id", condition, **parameters)]


async def count(where: Engine | Connection, condition: str = "true", **parameters: Any) -> int:
    """Returns of how many tasks the condition holds."""
    statement = sa.text(f"SELECT count(*) FROM {ALL} AS tasks WHERE {condition}")
    async with _connected(where) as connection:
        return int((await connection.execute(statement, parameters)).scalar_one())


async def occurrences(engine: Engine, schedule_id: int) -> list[tuple[datetime.datetime, bool]]:
    """Returns the nominal times that a task of the schedule takes, each with whether that task is cancelled."""
    taken = "schedule_id = :id AND (deleted_at IS NULL OR is_refused)"
    rows = await read(engine, "nominal_time, status = 'cancelled' AS is_cancelled", taken, id=schedule_id)
    return [(row.nominal_time, row.is_cancelled) for row in rows]


def lock(*task_ids: int) -> str:
    """Returns the statement that locks those tasks, whatever their status, until its transaction ends."""
    return f"SELECT FROM tasks WHERE task_id IN ({', '.join(map(str, task_ids))}) FOR UPDATE"


LOCK_RUNNING = "SELECT task_id FROM tasks WHERE status = 'running' ORDER BY task_id LIMIT 3 FOR UPDATE SKIP LOCKED"
"""Locks a few running tasks until its transaction ends."""


@contextlib.asynccontextmanager
async def locked(engine: Engine, *task_ids: int) -> AsyncIterator[Connection]:
    """Holds those tasks locked for the block, as an administrator's forgotten transaction does."""
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await connection.execute(sa.text(lock(*task_ids)))
        yield connection


def lock_all(mode: str = "ACCESS EXCLUSIVE") -> str:
    """Returns the statement that locks everything that holds unfinished tasks: in SHARE mode, only against writers."""
    return f"LOCK TABLE tasks IN {mode} MODE"


async def change(where: Engine | Connection, assignments: str, *task_ids: int, **parameters: Any) -> None:
    """Assigns columns of those tasks, or of all, that are kept whatever their status."""
    these = f"WHERE task_id IN ({', '.join(map(str, task_ids))})" if task_ids else ""
    async with _connected(where) as connection:
        await connection.execute(sa.text(f"UPDATE tasks SET {assignments} {these}"), parameters)


async def move_back(engine: Engine, by: datetime.timedelta, *task_ids: int) -> None:
    """Makes those tasks, or all, due earlier, as if they had been pending since."""
    earlier = "execution_time = execution_time - :by, updated_at = updated_at - :by"
    await change(engine, earlier, *task_ids, by=by)


async def age(engine: Engine, by: datetime.timedelta) -> None:
    """Makes all tasks older by that."""
    columns = ("created_at", "updated_at", "execution_time")
    await change(engine, ", ".join(f"{column} = {column} - :by" for column in columns), by=by)


async def shift(connection: Connection, by: datetime.timedelta) -> None:
    """Moves the execution and nominal times of all tasks into the past by that."""
    await change(connection, "execution_time = execution_time - :by", by=by)
    # By way of the far future: no two nominal times may be the same meanwhile.
    await change(connection, "nominal_time = nominal_time + interval '1000 days'")
    await change(connection, "nominal_time = nominal_time - interval '1000 days' - :by", by=by)


async def start(engine: Engine, task_id: int, *, worker_id: str = "worker") -> None:
    """Has a pending task run, due or not, with a lease that is over."""
    running = "status = 'running', worker_id = :worker_id, lease_expires_at = now()"
    await change(engine, running, task_id, worker_id=worker_id)


async def expire_leases(engine: Engine) -> None:
    """Lets the leases of all running tasks be over."""
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE tasks SET lease_expires_at = now() WHERE status = 'running'"))


async def end(where: Engine | Connection, status: task.Status, *, those: task.Status) -> None:
    """Gives all tasks with the status `those`, pending or running, that final status."""
    statement = sa.text(
        "UPDATE tasks SET status = :status, version = version + 1, lease_expires_at = NULL WHERE status = :those"
    )
    async with _connected(where) as connection:
        await connection.execute(statement, {"status": status, "those": those})


async def delete_all(engine: Engine) -> None:
    """Deletes all tasks; their logs stay."""
    async with engine.connect() as connection:
        await connection.execute(sa.text("DELETE FROM tasks"))


def delete_after(task_id: int) -> list[str]:
    """Returns the statements that delete all tasks with a higher id, and their logs."""
    return [f"DELETE FROM {table} WHERE task_id > {task_id}" for table in ("tasks", "task_logs")]


async def change_digest(engine: Engine, digest: str | uuid.UUID) -> None:
    """Changes what distinguishes the requests of all tasks from others with the same request_id."""
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE tasks SET request_digest = :digest"), {"digest": digest})
