"""The Python client against a whole stack, through Envoy."""

import asyncio
import datetime
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

import duetime_client
from duetime_client import Status

LATER = datetime.timedelta(days=1)
NOW = datetime.timedelta()


@pytest_asyncio.fixture
async def client(stack: Any) -> AsyncIterator[duetime_client.AsyncClient]:
    async with duetime_client.AsyncClient(stack.address) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A task's name that no other test uses, and no handler has."""
    return f"client {uuid.uuid4()}"


@pytest.fixture
def mute_url() -> Iterator[str]:
    """The URL of a server that never responds: a webhook to it runs until it is cancelled."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


async def finished(client: duetime_client.AsyncClient, task_id: int) -> list[str]:
    return [event.change.change async for event in client.watch(task_id)]


async def test_task_is_created_watched_and_read(client: duetime_client.AsyncClient) -> None:
    data = {"email": "a@example.com", "subject": "Grüße ✓", "body": "Hello"}
    before = datetime.datetime.now(datetime.UTC)
    task_id = await client.create("Send Email", datetime.timedelta(seconds=0.5), data)
    events = [event async for event in client.watch(task_id)]
    assert [event.change.change for event in events][-2:] == ["started", "completed"]
    task = await client.get(task_id)
    assert (task.status, task.name, task.task_data) == (Status.COMPLETED, "Send Email", data)
    assert task.execution_time - before >= datetime.timedelta(seconds=0.5)
    assert task.executed_at is not None
    assert task.executed_at >= task.execution_time
    assert task.execution_time.tzinfo is datetime.UTC
    assert await client.status(task_id) is Status.COMPLETED
    logs = [log async for log in client.logs(task_id)]
    assert [log.version for log in logs] == [1, 2, 3]
    assert logs[-1] == events[-1].change


async def test_synchronous_client_does_the_same(stack: Any, name: str) -> None:
    def scenario() -> None:
        with duetime_client.Client(stack.address) as client:
            task_id = client.create(name, NOW, {"n": 1}, max_retries=0)
            with client.watch(task_id) as events:
                assert [event.change.change for event in events][-1] == "failed"
            assert [log.change for log in client.logs(task_id)] == ["created", "started", "failed"]
            assert [task.task_id for task in client.list(name=name, status=Status.FAILED)] == [task_id]
            later = client.create(name, LATER)
            client.update(later, task_data={"n": 2}, version=1)
            assert client.get(later).task_data == {"n": 2}
            assert client.cancel(later).status is Status.CANCELLED
            with pytest.raises(duetime_client.TaskFinished):
                client.cancel(task_id)
            client.delete(later)
            with pytest.raises(duetime_client.TaskNotFound):
                client.get(later)

    await asyncio.to_thread(scenario)


async def test_every_given_field_comes_back(client: duetime_client.AsyncClient, name: str) -> None:
    due = datetime.datetime(2031, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
    policy = duetime_client.RetryPolicy(
        initial_backoff=datetime.timedelta(milliseconds=1),
        max_backoff=datetime.timedelta(days=30),
        multiplier=1.5,
        jitter=0.0,
    )
    data = {"whole": 2**53 - 1, "half": 0.5, "none": None, "list": [1, [True, {"a": ""}]], "größe": "✓"}
    task_id = await client.create(
        name,
        due,
        data,
        queue="client-tests",
        max_retries=0,
        retry_policy=policy,
        timeout=datetime.timedelta(seconds=1.5),
        request_id=name,
    )
    task = await client.get(task_id)
    assert (task.execution_time, task.task_data, task.queue, task.max_retries) == (due, data, "client-tests", 0)
    assert (task.retry_policy, task.timeout) == (policy, datetime.timedelta(seconds=1.5))
    assert (task.request_id, task.version, task.result, task.executed_at) == (name, 1, None, None)


async def test_update_changes_given_fields_and_resets_those_that_are_none(
    client: duetime_client.AsyncClient, name: str
) -> None:
    task_id = await client.create(
        name, LATER, {"n": 1}, queue="client-tests", max_retries=7, timeout=datetime.timedelta(seconds=5)
    )
    before = await client.get(task_id)
    await client.update(task_id, max_retries=0, timeout=None, queue=None)
    after = await client.get(task_id)
    assert (after.max_retries, after.timeout, after.queue) == (0, None, "default")
    assert (after.name, after.task_data, after.execution_time) == (name, {"n": 1}, before.execution_time)
    assert after.version == before.version + 1


async def test_create_is_idempotent_by_request_id(client: duetime_client.AsyncClient, name: str) -> None:
    due = datetime.datetime.now(datetime.UTC) + LATER
    task_id = await client.create(name, due, request_id=name)
    assert await client.create(name, due, request_id=name) == task_id
    with pytest.raises(duetime_client.RequestIdReused):
        await client.create(name, due, {"another": True}, request_id=name)


async def test_create_many_is_idempotent_by_request_id(client: duetime_client.AsyncClient, name: str) -> None:
    due = datetime.datetime.now(datetime.UTC) + LATER
    tasks = [duetime_client.NewTask(name, due, {"n": n}, request_id=f"{name} {n}") for n in range(1_203)]
    task_ids = await client.create_many(tasks)
    assert await client.create_many(tasks) == task_ids
    found = [task async for task in client.list(name=name, order_by="task_id")]
    assert [task.task_data["n"] for task in found] == list(range(1_203))
    assert sorted(task_ids) == [task.task_id for task in found]


async def test_create_many_names_the_invalid_task_and_creates_none_of_its_batch(
    client: duetime_client.AsyncClient, name: str
) -> None:
    due = datetime.datetime.now(datetime.UTC) + LATER
    tasks = [duetime_client.NewTask(name, due, queue="Q!" if n == 1_001 else None) for n in range(1_003)]
    with pytest.raises(duetime_client.InvalidArgument) as caught:
        await client.create_many(tasks)
    assert [violation.field for violation in caught.value.violations] == ["requests[1001].queue"]
    assert len(caught.value.created) == 1_000
    assert len([task async for task in client.list(name=name)]) == 1_000


async def test_list_filters_and_orders(client: duetime_client.AsyncClient, name: str) -> None:
    start = datetime.datetime.now(datetime.UTC) + LATER
    hours = [start + datetime.timedelta(hours=hour) for hour in (2, 0, 1)]
    third, first, second = [await client.create(name, due) for due in hours]
    await client.cancel(second)

    async def listed(**options: Any) -> list[int]:
        return [task.task_id async for task in client.list(name=name, **options)]

    assert await listed() == [first, second, third]
    assert await listed(order_by="execution_time desc") == [third, second, first]
    assert await listed(order_by="task_id desc") == [second, first, third]
    assert await listed(status=Status.PENDING) == [first, third]
    assert await listed(status=[Status.CANCELLED, Status.FAILED]) == [second]
    assert await listed(due_from=hours[2]) == [second, third]
    assert await listed(due_before=hours[2]) == [first]
    assert await listed(queue="elsewhere") == []


@pytest.mark.parametrize("method", ["get", "status", "delete", "cancel", "retry", "update", "logs", "watch"])
async def test_task_that_does_not_exist_is_not_found(client: duetime_client.AsyncClient, method: str) -> None:
    options = {"name": "N"} if method == "update" else {}
    called = getattr(client, method)(2**32 - 1, **options)
    with pytest.raises(duetime_client.TaskNotFound) as caught:
        await (anext(called) if hasattr(called, "__anext__") else called)
    assert caught.value.reason == "TASK_NOT_FOUND"


async def test_error_names_the_status_that_does_not_allow_the_change(
    client: duetime_client.AsyncClient, name: str
) -> None:
    task_id = await client.create(name, LATER)
    with pytest.raises(duetime_client.VersionMismatch) as stale:
        await client.update(task_id, name=name, version=9)
    assert stale.value.metadata["version"] == "1"
    with pytest.raises(duetime_client.TaskNotRetryable) as pending:
        await client.retry(task_id)
    assert pending.value.metadata["status"] == "pending"
    assert (await client.cancel(task_id)).status is Status.CANCELLED
    assert (await client.cancel(task_id)).status is Status.CANCELLED
    with pytest.raises(duetime_client.TaskNotPending) as cancelled:
        await client.update(task_id, name=name)
    assert cancelled.value.metadata["status"] == "cancelled"


async def test_running_task_cannot_be_deleted_and_can_be_cancelled(
    client: duetime_client.AsyncClient, mute_url: str
) -> None:
    task_id = await client.create("Call Webhook", NOW, {"url": mute_url})
    async with client.watch(task_id) as events:
        async for event in events:
            if event.change.status is Status.RUNNING:
                break
    with pytest.raises(duetime_client.TaskRunning):
        await client.delete(task_id)
    assert (await client.cancel(task_id)).status is Status.CANCELLED


async def test_failed_task_can_be_retried(client: duetime_client.AsyncClient, name: str) -> None:
    task_id = await client.create(name, NOW, max_retries=0)
    assert (await finished(client, task_id))[-1] == "failed"
    assert "no handler is registered" in (await client.get(task_id)).error_message
    assert (await client.retry(task_id)).status is Status.PENDING
    assert (await finished(client, task_id))[-1] == "failed"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"queue": "No Spaces"}, "queue"),
        ({"max_retries": 1_001}, "max_retries"),
        ({"timeout": datetime.timedelta(days=8)}, "timeout"),
        ({"retry_policy": duetime_client.RetryPolicy(jitter=2.0)}, "retry_policy.jitter"),
        ({"request_id": "x" * 129}, "request_id"),
        ({"task_data": {"text": "x" * 300_000}}, "task_data"),
    ],
)
async def test_error_names_the_invalid_field(
    client: duetime_client.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(duetime_client.InvalidArgument) as caught:
        await client.create(**{"name": "N", "execution_time": LATER, **fields})
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_watch_resumes_in_another_process_with_the_cursor(client: duetime_client.AsyncClient, name: str) -> None:
    task_id = await client.create(name, LATER)
    async with client.watch(task_id) as events:
        first = await anext(events)
    await client.update(task_id, max_retries=1)
    await client.cancel(task_id)
    rest = [event.change.change async for event in client.watch(task_id, first.cursor)]
    assert (first.change.change, rest) == ("created", ["updated", "cancelled"])


async def test_watch_of_all_returns_matching_changes_and_resumes_with_its_cursor(
    client: duetime_client.AsyncClient, name: str
) -> None:
    async with client.watch_all(name=name, status=[Status.PENDING, Status.CANCELLED]) as events:
        first, other = await client.create(name, LATER), await client.create(f"not {name}", LATER)
        event = await anext(events)
        assert (event.change.task_id, event.change.change) == (first, "created")
        cursor = event.cursor
    second = await client.create(name, LATER)
    await client.cancel(first)
    await client.cancel(other)
    async with client.watch_all(name=name, status=[Status.PENDING, Status.CANCELLED], cursor=cursor) as events:
        seen = [(await anext(events)).change for _ in range(2)]
    assert {(log.task_id, log.change) for log in seen} == {(second, "created"), (first, "cancelled")}


@pytest.mark.parametrize("cursor", ["nonsense", "WyJhIiwxXQ"])
async def test_cursor_of_another_watch_is_refused(client: duetime_client.AsyncClient, name: str, cursor: str) -> None:
    task_id = await client.create(name, LATER)
    for watch in (client.watch(task_id, cursor), client.watch_all(cursor=cursor)):
        with pytest.raises(duetime_client.InvalidArgument, match="cursor"):
            await anext(watch)
