"""Callers who may not read payloads get them from no rpc, and not from errors that quote them."""

import dataclasses
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf import duration_pb2
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import schedule_pb2
from duetime_core.model.access import Role
from tests.acceptance import requests
from tests.support import principals
from tests.support.guarded import Guarded

SECRET = "planted-hunter2"


async def read(guarded: Guarded, engine: sqlalchemy_asyncio.AsyncEngine, token: str) -> str:
    """Returns all that the rpcs return of a failed task and of a schedule, as text."""
    task_id = (await guarded.call("CreateTask", requests.as_message(task_data=requests.struct({"a": SECRET})))).task_id
    await guarded.call("CancelTask", task_id=task_id)
    async with engine.begin() as connection:
        given = {"error": f"ValueError: {SECRET}", "task_id": task_id}
        for table in ("ended_tasks", "task_logs"):
            statement = f"UPDATE {table} SET error_message = :error WHERE task_id = :task_id"
            await connection.execute(sa.text(statement), given)
        await connection.execute(sa.text("UPDATE ended_tasks SET status = 'failed'"))
    template = schedule_pb2.TaskTemplate(name="noop", task_data=requests.struct({"a": SECRET}))
    hourly: dict[str, Any] = {"interval": duration_pb2.Duration(seconds=3600), "task": template}
    schedule_id = (await guarded.call("CreateSchedule", name="hourly", **hourly)).schedule_id
    found = [
        await guarded.call("GetTask", task_id=task_id, token=token),
        await guarded.call("ListTasks", token=token),
        await guarded.call("ListTaskLogs", task_id=task_id, token=token),
        await guarded.call("ExplainTask", task_id=task_id, token=token),
        await guarded.call("GetSchedule", schedule_id=schedule_id, token=token),
        await guarded.call("ListSchedules", token=token),
        await guarded.call("ListScheduleLogs", schedule_id=schedule_id, token=token),
        *[event async for event in guarded.watch("WatchTask", task_id=task_id, token=token)],
    ]
    if token != "viewer":
        found += [
            await guarded.call("PauseSchedule", schedule_id=schedule_id, token=token),
            await guarded.call("ResumeSchedule", schedule_id=schedule_id, token=token),
            await guarded.call("RetryTask", task_id=task_id, token=token),
            await guarded.call("CancelTask", task_id=task_id, token=token),
        ]
    assert "noop" in str(found)
    return str(found)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_without_the_right_to_payloads_all_of_them_are_empty(
    guarded: Guarded, engine: sqlalchemy_asyncio.AsyncEngine, role: Role
) -> None:
    assert SECRET not in await read(guarded, engine, role)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_a_key_with_the_right_to_payloads_reads_them(
    guarded: Guarded, engine: sqlalchemy_asyncio.AsyncEngine, role: Role
) -> None:
    granted = dataclasses.replace(principals.PRINCIPALS[role], may_read_payloads=True)
    guarded.tokens.principals[role] = granted
    assert (await read(guarded, engine, role)).count(SECRET) >= 9


async def test_an_editor_reads_payloads(guarded: Guarded, engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    assert SECRET in await read(guarded, engine, Role.EDITOR)


async def test_a_submitter_does_not_read_the_payload_of_the_task_that_it_cancels(guarded: Guarded) -> None:
    request = requests.as_message(task_data=requests.struct({"a": SECRET}))
    task_id = (await guarded.call("CreateTask", request, token="submitter")).task_id
    assert SECRET not in str(await guarded.call("CancelTask", task_id=task_id, token="submitter"))
