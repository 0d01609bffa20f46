"""A server puts each call into the namespace of its principal, and shares nothing between two but commits."""

import asyncio
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.protobuf import duration_pb2
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import schedule_pb2, task_service_pb2
from duetime_core.model import namespace, task
from duetime_core.model.access import Principal, Role
from duetime_core.process import outage
from duetime_core.store.queues import handlers
from duetime_server.tasks import handler_catalog
from tests.acceptance import requests
from tests.support import tenants
from tests.support.guarded import Guarded

Engine = sqlalchemy_asyncio.AsyncEngine
ALL: dict[str, Any] = {"filter": task_service_pb2.TaskFilter(), "all": True}


@pytest_asyncio.fixture
async def other(guarded: Guarded, engine: Engine) -> int:
    """A second namespace, with an admin whose token is `theirs`."""
    namespace_id = await tenants.create(engine)
    guarded.tokens.principals["theirs"] = Principal("key:theirs", Role.ADMIN, True, namespace_id=namespace_id)
    return namespace_id


async def refused(guarded: Guarded, method: str, **values: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await guarded.call(method, **values)
    return raised.value.code(), raised.value.details() or ""


async def test_creates_of_two_namespaces_share_commits_and_no_request_id(
    guarded: Guarded, engine: Engine, other: int
) -> None:
    messages = [requests.as_message(request_id=f"r{number}") for number in range(50)]

    async def create(token: str, message: Any) -> tuple[str, int]:
        return token, (await guarded.call("CreateTask", message, token=token)).task_id

    created = await asyncio.gather(*(create(token, message) for message in messages for token in ("admin", "theirs")))
    again = await asyncio.gather(*(create(token, message) for message in messages for token in ("admin", "theirs")))
    assert created == again
    assert len({task_id for _, task_id in created}) == 100
    async with engine.connect() as connection:
        rows = (await connection.execute(sa.text("SELECT task_id, namespace_id, xid::text FROM task_logs"))).all()
    expected = {task_id: other if token == "theirs" else namespace.DEFAULT for token, task_id in created}
    assert {row.task_id: row.namespace_id for row in rows} == expected
    shared = [{row.namespace_id for row in rows if row.xid == xid} for xid in {row.xid for row in rows}]
    assert {namespace.DEFAULT, other} in shared


async def test_a_caller_finds_nothing_of_another_namespace(guarded: Guarded, other: int) -> None:
    ours = (await guarded.call("CreateTask", requests.as_message())).task_id
    hourly = schedule_pb2.TaskTemplate(name="noop")
    interval = duration_pb2.Duration(seconds=3600)
    schedule = await guarded.call("CreateSchedule", name="hourly", interval=interval, task=hourly)
    never = 4_000_000_000
    for method, field, ours_id in (
        *((name, "task_id", ours) for name in ("GetTask", "GetTaskStatus", "ListTaskLogs", "ExplainTask")),
        *((name, "task_id", ours) for name in ("CancelTask", "RetryTask", "DeleteTask")),
        *((name, "schedule_id", schedule.schedule_id) for name in ("GetSchedule", "PauseSchedule", "DeleteSchedule")),
    ):
        found = await refused(guarded, method, token="theirs", **{field: ours_id})
        missing = await refused(guarded, method, token="theirs", **{field: never})
        assert found == (missing[0], missing[1].replace(str(never), str(ours_id))), method
        assert found[0] is grpc.StatusCode.NOT_FOUND, method
    assert list((await guarded.call("ListTasks", token="theirs")).tasks) == []
    assert list((await guarded.call("ListSchedules", token="theirs")).schedules) == []
    assert list((await guarded.call("ListQueues", token="theirs")).queues) == []
    assert (await guarded.call("CancelTasks", token="theirs", **ALL)).count == 0
    assert (await guarded.call("GetTask", task_id=ours)).task_id == ours


async def test_watches_have_the_changes_of_their_namespace_from_the_feed_and_after_a_cursor(
    guarded: Guarded, other: int
) -> None:
    def watch(token: str, cursor: str = "") -> Any:
        return guarded.watch("WatchTasks", token=token, cursor=cursor)

    ours, theirs = watch("admin"), watch("theirs")
    begun = [await stream.read() for stream in (ours, theirs)]
    ids: dict[str, list[int]] = {"admin": [], "theirs": []}
    for token in ("admin", "theirs") * 3:
        ids[token].append((await guarded.call("CreateTask", requests.as_message(), token=token)).task_id)
    for token, stream, first in (("admin", ours, begun[0]), ("theirs", theirs, begun[1])):
        live = [(await stream.read()).change.task_id for _ in range(3)]
        stream.cancel()
        resumed = watch(token, first.cursor)
        await resumed.read()
        again = [(await resumed.read()).change.task_id for _ in range(3)]
        resumed.cancel()
        assert live == again == ids[token]


async def test_handlers_of_another_namespace_mean_nothing(engine: Engine, other: int) -> None:
    catalog = handler_catalog.HandlerCatalog(engine, outage.Outage("the database", "it waits"))
    with namespace.use(other):
        await handlers.announce(engine, {"Send Email": task.Retries(7)}, is_first=True)
    await catalog.refresh()
    assert catalog.spec("Send Email") is not None
    with namespace.use(other):
        assert catalog.spec("Send Email") is None
        assert catalog.retries("Send Email").max_retries == 7
        await catalog.look_up("theirs")
    await handlers.announce(engine, {"theirs": task.Retries(8)}, is_first=True)
    await catalog.look_up("theirs")  # looked up in one namespace, it is still unknown in the other
    assert catalog.retries("theirs").max_retries == 8
