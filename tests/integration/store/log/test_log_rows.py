"""Each row of a task's log has the task's queue and name, and those that its change replaced."""

import asyncio
import dataclasses

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.postgres import database
from duetime_core.store.log import feed
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import read as task_read
from tests.support import factories, logs, rows

Engine = sqlalchemy_asyncio.AsyncEngine


async def logged(engine: Engine) -> list[tuple[str | None, ...]]:
    statement = sa.text("SELECT change, queue, name, previous_queue, previous_name FROM task_logs ORDER BY log_id")
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(statement)]


@pytest.mark.parametrize("status", sorted(task.FINISHED))
async def test_every_change_logs_the_queue_and_the_name(engine: Engine, status: task.Status) -> None:
    task_id = await factories.brought_to(engine, status, name="send")
    queue = (await task_read.get(engine, task_id)).queue
    await task_edit.delete(engine, task_id, actor="api")
    assert {row[1:] for row in await logged(engine)} == {(queue, "send", None, None)}


async def test_an_update_logs_what_it_replaced(engine: Engine) -> None:
    task_id = await factories.create(engine, queue="mail", name="send")
    for changes in ({"queue": "bulk"}, {"name": "post"}, {"queue": "bulk", "priority": 3}):
        await task_edit.update(engine, task_id, changes, version=None, actor="api")
    assert await logged(engine) == [
        ("created", "mail", "send", None, None),
        ("updated", "bulk", "send", "mail", None),
        ("updated", "bulk", "post", None, "send"),
        ("updated", "bulk", "post", None, None),
    ]


async def test_a_move_that_waited_for_another_one_logs_the_queue_that_it_left(engine: Engine) -> None:
    task_id = await factories.create(engine, queue="first")
    async with database.transaction(engine) as connection:
        await rows.change(connection, "queue = 'second', version = version + 1")
        moving = asyncio.create_task(task_edit.update(engine, task_id, {"queue": "third"}, version=None, actor="api"))
        await logs.waits_for_a_row(engine)
    await moving
    assert (await logged(engine))[-1] == ("updated", "third", "noop", "second", None)


async def test_a_changed_template_logs_the_queue_that_its_next_task_left(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    template = made.template
    queue, name = template.queue, template.name
    changed = {"template": dataclasses.replace(template, queue="elsewhere")}
    await schedule_edit.update(engine, made.schedule_id, changed, version=None, actor="api")
    assert (await logged(engine))[-1] == ("updated", "elsewhere", name, queue, None)


async def test_a_row_of_an_older_release_has_the_queue_of_its_task_while_that_is_kept(engine: Engine) -> None:
    position = await feed.now(engine)
    await factories.create(engine, queue="mail")
    async with engine.connect() as connection:
        await connection.exec_driver_sql("UPDATE task_logs SET queue = NULL, name = NULL")
    (entry,) = (await feed.read(engine, position, namespace_id=None, limit=10)).entries
    assert entry.log.queue == "mail"
    await rows.delete_all(engine)
    (entry,) = (await feed.read(engine, position, namespace_id=None, limit=10)).entries
    assert entry.log.queue is None
