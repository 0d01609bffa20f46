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
from duetime_core.store.tasks import columns

Engine = sqlalchemy_asyncio.AsyncEngine
Connection = sqlalchemy_asyncio.AsyncConnection

_LIVE = columns.LIVE.replace(":namespace_id", "tasks.namespace_id")
ALL = f"""(
    SELECT {columns.LIVE_COLUMNS} FROM tasks {_LIVE}
    UNION ALL SELECT {columns.ENDED_COLUMNS} FROM ended_tasks
)"""
"""What a FROM reads all tasks of all namespaces from, deleted ones too, with the columns of `model.task`.

It needs an alias.
"""


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
    statement = sa.text(f"""
        SELECT taken.nominal_time, status IS NOT DISTINCT FROM 'cancelled'
        FROM nominal_times AS taken LEFT JOIN {ALL} AS tasks USING (task_id) WHERE taken.schedule_id = :id
    """)
    async with engine.connect() as connection:
        return [
            (moment, is_cancelled) for moment, is_cancelled in await connection.execute(statement, {"id": schedule_id})
        ]


async def next_ids(engine: Engine, *, after: datetime.datetime | None = None) -> list[int]:
    """Returns the ids of the next tasks of schedules, refused ones too, with a nominal time after that moment."""
    statement = sa.text("""
        SELECT task_id FROM schedules JOIN nominal_times USING (schedule_id)
        WHERE nominal_time = next_nominal_time AND nominal_time > coalesce(CAST(:after AS timestamptz), '-infinity')
    """)
    async with engine.connect() as connection:
        return list((await connection.execute(statement, {"after": after})).scalars())


def lock(*task_ids: int) -> str:
    """Returns the statement that locks those tasks, whatever their status, until its transaction ends."""
    tables = ("waiting", "tasks", "ended_tasks")
    these = f"WHERE task_id IN ({', '.join(map(str, task_ids))})"
    held = ", ".join(f"of_{table} AS (SELECT task_id FROM {table} {these} FOR UPDATE)" for table in tables)
    return f"WITH {held} SELECT {', '.join(f'(SELECT count(*) FROM of_{table})' for table in tables)}"


LOCK_RUNNING = """
SELECT task_id FROM tasks WHERE NOT EXISTS (SELECT FROM waiting WHERE waiting.task_id = tasks.task_id)
ORDER BY task_id LIMIT 3 FOR UPDATE SKIP LOCKED
"""
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
    return f"LOCK TABLE tasks, waiting IN {mode} MODE"


async def change(where: Engine | Connection, assignments: str, *task_ids: int, **parameters: Any) -> None:
    """Assigns columns of those tasks, or of all, that are kept whatever their status."""
    these = f"task_id IN ({', '.join(map(str, task_ids))})" if task_ids else "true"
    these_tasks = these.replace("task_id", "tasks.task_id")
    level = f", level = {columns.QUEUE_LEVEL}" if "priority" in assignments else ""
    async with _connected(where) as connection:
        for table in ("tasks", "ended_tasks"):
            await connection.execute(sa.text(f"UPDATE {table} SET {assignments} WHERE {these}"), parameters)
        # What repeats a column of these tables follows it.
        await connection.execute(sa.text(f"UPDATE ended_tasks SET ended_at = updated_at WHERE {these}"))
        await connection.execute(
            sa.text(f"""
            UPDATE waiting SET queue = tasks.queue, ready_at = greatest(tasks.execution_time, tasks.updated_at),
                version = tasks.version, lost_leases = tasks.lost_leases, concurrency_key = tasks.concurrency_key,
                schedule_id = tasks.schedule_id{level}
            FROM tasks WHERE tasks.task_id = waiting.task_id AND ({these_tasks})
            """)
        )


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
    for table, assignment in (
        ("tasks", "execution_time = execution_time - :by, nominal_time = nominal_time - :by"),
        ("ended_tasks", "execution_time = execution_time - :by, nominal_time = nominal_time - :by"),
        ("waiting", "ready_at = ready_at - :by"),
        # By way of the far future: no two nominal times may be the same meanwhile.
        ("nominal_times", "nominal_time = nominal_time + interval '1000 days'"),
        ("nominal_times", "nominal_time = nominal_time - interval '1000 days' - :by"),
    ):
        await connection.execute(sa.text(f"UPDATE {table} SET {assignment}"), {"by": by})


async def start(engine: Engine, task_id: int, *, worker_id: str = "worker") -> None:
    """Has a pending task run, due or not, with a lease that is over."""
    statement = sa.text("""
        WITH gone AS (DELETE FROM waiting WHERE task_id = :task_id RETURNING queue, version)
        INSERT INTO leases (worker_id, queue, started_at, expires_at, task_ids, versions)
        SELECT :worker_id, queue, now(), now(), ARRAY[CAST(:task_id AS bigint)], ARRAY[version] FROM gone
    """)
    async with engine.connect() as connection:
        await connection.execute(statement, {"task_id": task_id, "worker_id": worker_id})


async def expire_leases(engine: Engine) -> None:
    """Lets the leases of all running tasks be over."""
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE leases SET expires_at = now()"))


async def end(where: Engine | Connection, status: task.Status, *, those: task.Status) -> None:
    """Gives all tasks with the status `those`, pending or running, that final status."""
    kept = ", ".join(column for column in columns.KEPT if column not in ("version", "updated_at"))
    ended = f"INSERT INTO ended_tasks ({kept}, version, updated_at, ended_at, status) SELECT {kept}"
    statements = [
        f"""
        WITH gone AS (DELETE FROM waiting RETURNING task_id),
        taken AS (DELETE FROM tasks WHERE task_id IN (SELECT task_id FROM gone) RETURNING *)
        {ended}, version + 1, now(), now(), '{status}' FROM taken
    """
    ]
    if those is task.Status.RUNNING:
        statements = [
            f"""
            WITH taken AS (DELETE FROM tasks WHERE task_id NOT IN (SELECT task_id FROM waiting) RETURNING *)
            {ended}, version + 2, now(), now(), '{status}' FROM taken
            """,
            "DELETE FROM leases",
        ]
    async with _connected(where) as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))


_OF_TASKS = ("tasks", "waiting", "ended_tasks", "payloads", "request_ids", "nominal_times")


async def delete_all(engine: Engine) -> None:
    """Deletes all tasks; their logs stay."""
    async with engine.connect() as connection:
        for table in (*_OF_TASKS, "leases"):
            await connection.execute(sa.text(f"DELETE FROM {table}"))


def delete_after(task_id: int) -> list[str]:
    """Returns the statements that delete all tasks with a higher id, and their logs."""
    return [f"DELETE FROM {table} WHERE task_id > {task_id}" for table in (*_OF_TASKS, "task_logs")]


async def change_digest(engine: Engine, digest: str | uuid.UUID) -> None:
    """Changes what distinguishes the requests of all tasks from others with the same request_id."""
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE request_ids SET digest = :digest"), {"digest": digest})
