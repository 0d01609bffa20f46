"""A key that is limited to handlers and queues changes nothing else, and its refused calls change nothing."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf import duration_pb2

from duetime.v1 import schedule_pb2, task_service_pb2
from duetime_core.model.access import Principal, Role
from tests.acceptance import requests
from tests.support.guarded import Guarded

LIMITED = Principal("key:limited", Role.ADMIN, handlers=frozenset({"Greet"}), queues=frozenset({"mail", "post"}))
HOURLY: dict[str, Any] = {"interval": duration_pb2.Duration(seconds=3600)}


def template(name: str, queue: str) -> dict[str, Any]:
    return {**HOURLY, "task": schedule_pb2.TaskTemplate(name=name, queue=queue)}


@pytest_asyncio.fixture
async def limited(guarded: Guarded) -> AsyncIterator[Guarded]:
    """A server with the token "limited"."""
    guarded.tokens.principals["limited"] = LIMITED
    yield guarded


async def create(guarded: Guarded, name: str, queue: str, token: str = "admin") -> int:
    created: int = (await guarded.call("CreateTask", requests.as_message(name=name, queue=queue), token=token)).task_id
    return created


async def denied(guarded: Guarded, method: str, *arguments: Any, **values: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await guarded.call(method, *arguments, token="limited", **values)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, caught.value
    return caught.value.details() or ""


REFUSED = r"PERMISSION_DENIED|INVALID_ARGUMENT"
OTHERS = [("Other", "mail"), ("Greet", "default"), ("greet", "mail"), ("Greet ", "mail"), ("Greet", "")]


@pytest.mark.parametrize(("name", "queue"), OTHERS)
async def test_it_creates_no_other_task_or_schedule(limited: Guarded, name: str, queue: str) -> None:
    assert await create(limited, "Greet", "mail", token="limited")
    with pytest.raises(grpc.aio.AioRpcError, match=REFUSED):
        await create(limited, name, queue, token="limited")
    batch = [requests.as_message(name=each, queue=of) for each, of in (("Greet", "mail"), (name, queue))]
    with pytest.raises(grpc.aio.AioRpcError, match=REFUSED):
        await limited.call("BatchCreateTasks", requests=batch, token="limited")
    with pytest.raises(grpc.aio.AioRpcError, match=REFUSED):
        await limited.call("CreateSchedule", name="x", token="limited", **template(name, queue))
    assert len((await limited.call("ListTasks")).tasks) == 1
    assert not (await limited.call("ListSchedules")).schedules


async def test_a_refusal_names_the_handler_or_the_queue(limited: Guarded) -> None:
    other = requests.as_message(name="Other", queue="mail")
    assert "handler 'Other'" in await denied(limited, "CreateTask", other)
    assert "queue 'slow'" in await denied(limited, "CreateTask", requests.as_message(name="Greet", queue="slow"))


@pytest.mark.parametrize(("name", "queue"), [("Other", "mail"), ("Greet", "default")])
async def test_it_changes_no_task_of_others(limited: Guarded, name: str, queue: str) -> None:
    task_id = await create(limited, name, queue)
    for change in ({"priority": 3}, {"name": "Greet"}, {"queue": "mail"}, {"name": "Greet", "queue": "mail"}):
        await denied(limited, "UpdateTask", task_id=task_id, **change)
    for method in ("CancelTask", "RetryTask", "DeleteTask"):
        await denied(limited, method, task_id=task_id)
    assert (await limited.call("GetTask", task_id=task_id)).version == 1


async def test_it_makes_no_task_of_its_own_one_of_others(limited: Guarded) -> None:
    task_id = await create(limited, "Greet", "mail", token="limited")
    await denied(limited, "UpdateTask", task_id=task_id, name="Other")
    await denied(limited, "UpdateTask", task_id=task_id, queue="default")
    await limited.call("UpdateTask", task_id=task_id, queue="post", token="limited")
    await limited.call("UpdateTask", task_id=task_id, priority=2, token="limited")
    await limited.call("CancelTask", task_id=task_id, token="limited")
    assert (await limited.call("GetTask", task_id=task_id)).version == 4


async def test_it_neither_changes_nor_triggers_a_schedule_of_others(limited: Guarded) -> None:
    for name, queue in (("Other", "mail"), ("Greet", "default")):
        made = await limited.call("CreateSchedule", name="theirs", **template(name, queue))
        schedule_id = made.schedule_id
        await denied(limited, "UpdateSchedule", schedule_id=schedule_id, **template("Greet", "mail"))
        await denied(limited, "UpdateSchedule", schedule_id=schedule_id, name="mine")
        for method in (*("TriggerSchedule", "BackfillSchedule", "PauseSchedule", "ResumeSchedule", "DeleteSchedule"),):
            await denied(limited, method, schedule_id=schedule_id)
        assert (await limited.call("GetSchedule", schedule_id=schedule_id)).version == made.version
    own = await limited.call("CreateSchedule", name="own", token="limited", **template("Greet", "mail"))
    await denied(limited, "UpdateSchedule", schedule_id=own.schedule_id, **template("Other", "mail"))
    await limited.call("TriggerSchedule", schedule_id=own.schedule_id, token="limited")
    await denied(limited, "RecomputeSchedules")


@pytest.mark.parametrize("method", ["CancelTasks", "RetryTasks", "DeleteTasks", "MoveTasks"])
async def test_a_change_of_many_tasks_needs_a_filter_within_the_limits(limited: Guarded, method: str) -> None:
    task_ids = [await create(limited, name, queue) for name, queue in (("Greet", "mail"), ("Other", "mail"))]
    values: dict[str, Any] = {"queue": "post"} if method == "MoveTasks" else {}
    if method == "RetryTasks":
        for task_id in task_ids:
            await limited.call("CancelTask", task_id=task_id)
    for wanted in (
        task_service_pb2.TaskFilter(name="Greet"),
        task_service_pb2.TaskFilter(queue="mail"),
        task_service_pb2.TaskFilter(name="Other", queue="mail"),
        task_service_pb2.TaskFilter(name="Greet", queue="default"),
        task_service_pb2.TaskFilter(name_prefix="Greet", queue="mail"),
        task_service_pb2.TaskFilter(),
    ):
        await denied(limited, method, filter=wanted, all=True, **values)
    own = {"filter": task_service_pb2.TaskFilter(name="Greet", queue="mail"), **values}
    if method == "MoveTasks":
        await denied(limited, method, **{**own, "queue": "default"})
    assert (await limited.call(method, token="limited", **own)).count == 1


async def test_it_changes_no_other_queue(limited: Guarded) -> None:
    await create(limited, "Other", "slow")
    for method, values in (("PauseQueue", {}), ("ResumeQueue", {}), ("UpdateQueue", {"max_running": 1})):
        await denied(limited, method, name="slow", **values)
    assert (await limited.call("UpdateQueue", name="mail", paused=True, allow_missing=True, token="limited")).paused


async def test_an_operator_moves_tasks_in_time_but_not_to_another_queue(guarded: Guarded) -> None:
    await create(guarded, "noop", "mail")
    later = requests.as_message().execution_time
    wanted = task_service_pb2.TaskFilter(queue="mail")
    assert (await guarded.call("MoveTasks", filter=wanted, execution_time=later, token="operator")).count == 1
    with pytest.raises(grpc.aio.AioRpcError, match="role operator may not move tasks to another queue"):
        await guarded.call("MoveTasks", filter=wanted, queue="post", token="operator")
