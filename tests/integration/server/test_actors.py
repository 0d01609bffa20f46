"""The log names the principal of a call as the actor of what the call changes."""

import asyncio
from typing import Any

import sqlalchemy as sa
from google.protobuf import duration_pb2
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import queue_service_pb2, schedule_pb2, task_service_pb2
from duetime_core.model.access import Principal, Role
from duetime_server import access
from duetime_server.services import queues
from tests.acceptance import requests
from tests.support.guarded import Guarded

CONTEXT: Any = None


async def test_a_change_of_a_caller_without_a_key_is_logged_as_the_apis(queue_service: queues.QueueService) -> None:
    request = queue_service_pb2.UpdateQueueRequest(name="mail", paused=True, allow_missing=True)
    await queue_service.UpdateQueue(request, CONTEXT)
    logs = await queue_service.ListQueueLogs(queue_service_pb2.ListQueueLogsRequest(name="mail"), CONTEXT)
    assert [each.actor for each in logs.logs] == [access.OPEN] == ["api"]


async def test_every_change_of_a_task_names_the_key_that_made_it(guarded: Guarded) -> None:
    guarded.tokens.principals["ada"] = Principal("key:ada", Role.EDITOR)
    task_id = (await guarded.call("CreateTask", requests.as_message(), token="ada")).task_id
    await guarded.call("UpdateTask", task_id=task_id, priority=3, token="editor")
    await guarded.call("CancelTask", task_id=task_id, token="operator")
    await guarded.call("RetryTask", task_id=task_id, token="ada")
    everything = {"filter": task_service_pb2.TaskFilter(), "all": True}
    await guarded.call("MoveTasks", queue="post", token="editor", **everything)
    await guarded.call("CancelTasks", token="operator", **everything)
    await guarded.call("RetryTasks", token="ada", **everything)
    await guarded.call("DeleteTask", task_id=task_id, token="editor")
    logs = (await guarded.call("ListTaskLogs", task_id=task_id)).logs
    assert [(each.change, each.actor) for each in logs] == [
        ("created", "key:ada"),
        ("updated", "key:editor"),
        ("cancelled", "key:operator"),
        ("retried", "key:ada"),
        ("updated", "key:editor"),
        ("cancelled", "key:operator"),
        ("retried", "key:ada"),
        ("deleted", "key:editor"),
    ]


async def test_every_change_of_a_schedule_and_of_its_tasks_names_the_key_that_made_it(guarded: Guarded) -> None:
    hourly: dict[str, Any] = {"interval": duration_pb2.Duration(seconds=3600)}
    hourly["task"] = schedule_pb2.TaskTemplate(name="noop")
    made = await guarded.call("CreateSchedule", name="hourly", token="editor", **hourly)
    schedule_id = made.schedule_id
    triggered = await guarded.call("TriggerSchedule", schedule_id=schedule_id, token="operator")
    await guarded.call("PauseSchedule", schedule_id=schedule_id, token="operator")
    await guarded.call("ResumeSchedule", schedule_id=schedule_id, token="admin")
    await guarded.call("DeleteSchedule", schedule_id=schedule_id, token="editor")
    logs = (await guarded.call("ListScheduleLogs", schedule_id=schedule_id)).logs
    found = {each.change: each.actor for each in logs}
    assert found["created"] == found["deleted"] == "key:editor"
    assert found["paused"] == found["triggered"] == "key:operator"
    assert found["resumed"] == "key:admin"
    for task_id, actor in ((made.next_task_id, "key:editor"), (triggered.task_id, "key:operator")):
        logs = (await guarded.call("ListTaskLogs", task_id=task_id)).logs
        assert (logs[0].change, logs[0].actor) == ("created", actor)


async def test_creates_of_several_callers_share_commits_and_each_has_its_own_actor(
    guarded: Guarded, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    callers = [f"key:{number}" for number in range(50)]
    for actor in callers:
        guarded.tokens.principals[actor.partition(":")[2]] = Principal(actor, Role.SUBMITTER)

    async def create(actor: str, number: int) -> tuple[int, str]:
        message = requests.as_message(name=f"noop {actor} {number}")
        token = actor.partition(":")[2]
        return (await guarded.call("CreateTask", message, token=token)).task_id, actor

    created = dict(await asyncio.gather(*(create(actor, number) for number in range(4) for actor in callers)))
    async with engine.connect() as connection:
        rows = (await connection.execute(sa.text("SELECT task_id, actor, name, xid::text FROM task_logs"))).all()
    assert {row.task_id: row.actor for row in rows} == created
    assert all(row.name.startswith(f"noop {row.actor} ") for row in rows)
    actors_of_commits = [{row.actor for row in rows if row.xid == xid} for xid in {row.xid for row in rows}]
    assert max(map(len, actors_of_commits)) > 1
