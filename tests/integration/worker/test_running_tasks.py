"""One task on one worker."""

import datetime
import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import duetime_client
from duetime_client import RetryPolicy, Status
from tests.support import clients, processes

SOON = RetryPolicy(initial_backoff=datetime.timedelta(milliseconds=50), jitter=0.0)


@pytest_asyncio.fixture
async def client(pair: processes.Pair) -> AsyncIterator[duetime_client.AsyncClient]:
    """A client of a server that has a worker."""
    async with duetime_client.AsyncClient(pair.server.address) as client:
        yield client


async def test_a_due_task_runs_and_keeps_its_result(client: duetime_client.AsyncClient) -> None:
    task_id = await client.create("echo", clients.NOW, {"a": [1, 2.5, "x", None, True]})
    done = await clients.finished(client, task_id)
    assert done.status is Status.COMPLETED
    assert done.result == {"a": [1, 2.5, "x", None, True]}
    assert done.error_message == ""
    assert await clients.changes(client, task_id) == ["created", "started", "completed"]


async def test_a_plain_function_runs_in_a_thread(client: duetime_client.AsyncClient) -> None:
    done = await clients.finished(client, await client.create("block", clients.NOW, {"seconds": 0}))
    assert done.result is not None
    assert done.result["thread"].startswith("handler")


async def test_a_failing_task_runs_once_and_for_each_retry_with_exponential_backoff(
    client: duetime_client.AsyncClient,
) -> None:
    task_id = await client.create("fail", clients.NOW, max_retries=3, retry_policy=SOON)
    failed = await clients.finished(client, task_id)
    assert failed.status is Status.FAILED
    assert failed.error_message == "ValueError: attempt 4 failed"
    assert failed.retry_count == 3
    logs = [log async for log in client.logs(task_id)]
    assert [log.change for log in logs] == [
        "created",
        *["started", "retry_scheduled"] * 3,
        *["started", "failed"],
    ]
    waits = [log.execution_time - log.timestamp for log in logs if log.change == "retry_scheduled"]
    assert waits == [datetime.timedelta(milliseconds=50 * 2**retry) for retry in range(3)]
    assert [log.error_message for log in logs if log.error_message] == [
        f"ValueError: attempt {attempt} failed" for attempt in (1, 2, 3, 4)
    ]


async def test_no_run_starts_before_its_retry_is_due(client: duetime_client.AsyncClient) -> None:
    task_id = await client.create("fail", clients.NOW, max_retries=3, retry_policy=SOON)
    await clients.finished(client, task_id)
    logs = [log async for log in client.logs(task_id)]
    for log in logs:
        if log.change == "started":
            assert log.timestamp >= log.execution_time


async def test_a_task_that_completes_on_a_retry_has_no_error(
    client: duetime_client.AsyncClient,
) -> None:
    task_id = await client.create("fail", clients.NOW, {"until_attempt": 3}, retry_policy=SOON)
    done = await clients.finished(client, task_id)
    assert (done.status, done.retry_count, done.error_message) == (Status.COMPLETED, 2, "")


async def test_a_handler_that_raises_fail_fails_its_task_without_a_retry(client: duetime_client.AsyncClient) -> None:
    failed = await clients.finished(client, await client.create("never", clients.NOW))
    assert (failed.status, failed.retry_count, failed.error_message) == (Status.FAILED, 0, "this will never do")


async def test_a_handler_that_raises_retry_decides_when_it_runs_again(client: duetime_client.AsyncClient) -> None:
    task_id = await client.create("later", clients.NOW, {"after": 0.25})
    log = await clients.reached(client, task_id, "retry_scheduled")
    assert log.execution_time - log.timestamp == datetime.timedelta(seconds=0.25)
    assert log.error_message == "come back later"
    assert (await clients.finished(client, task_id)).status is Status.COMPLETED


async def test_typed_task_data_is_validated_into_the_model(client: duetime_client.AsyncClient) -> None:
    done = await clients.finished(client, await client.create("order", clients.NOW, {"product": "tea", "amount": 2}))
    assert done.result == {"product": "tea", "total": 2}


async def test_invalid_task_data_fails_at_once_with_the_reason(client: duetime_client.AsyncClient) -> None:
    failed = await clients.finished(client, await client.create("order", clients.NOW, {"amount": "many"}))
    assert failed.status is Status.FAILED
    assert failed.retry_count == 0
    assert failed.error_message.startswith("task_data does not fit Order: product: is required; amount: ")


async def test_a_name_without_a_handler_fails_listing_the_registered_names(client: duetime_client.AsyncClient) -> None:
    failed = await clients.finished(client, await client.create("Send Emial", clients.NOW, max_retries=0))
    assert failed.status is Status.FAILED
    assert failed.error_message.startswith(
        'no handler is registered for "Send Emial"; registered are: "Call Webhook", '
    )
    assert failed.error_message.endswith('; did you mean "Send Email"?')


@pytest.mark.parametrize("name", ["sleep", "block"])
async def test_a_run_ends_at_its_timeout(client: duetime_client.AsyncClient, name: str) -> None:
    task_id = await client.create(
        name, clients.NOW, {"seconds": 60}, timeout=datetime.timedelta(seconds=0.2), max_retries=0
    )
    failed = await clients.finished(client, task_id)
    assert failed.status is Status.FAILED
    assert failed.error_message == "TimeoutError: timed out after 0.2 s"


async def test_system_exit_fails_the_task_and_not_the_worker(client: duetime_client.AsyncClient) -> None:
    failed = await clients.finished(client, await client.create("system exit", clients.NOW, max_retries=0))
    assert failed.error_message == "SystemExit: goodbye"
    assert (await clients.finished(client, await client.create("noop", clients.NOW))).status is Status.COMPLETED


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("list", "the handler returned a list; it must return a dict or None"),
        ("set", "the handler's result cannot be stored: result.a: is a set, which JSON does not have"),
        ("nul", "the handler's result cannot be stored: result.a: must not contain the NUL character"),
        ("big", "the handler's result cannot be stored: result: must be at most 256 KiB as JSON"),
        ("nan", "the handler's result cannot be stored: result.a: must be a finite number"),
    ],
)
async def test_a_result_that_cannot_be_stored_fails_the_task_with_the_reason(
    client: duetime_client.AsyncClient, what: str, reason: str
) -> None:
    failed = await clients.finished(client, await client.create("return", clients.NOW, {"what": what}))
    assert (failed.status, failed.retry_count, failed.error_message) == (Status.FAILED, 0, reason)


@pytest.mark.parametrize("name", ["sleep", "block"])
async def test_cancelling_a_running_task_reaches_its_handler(
    start: processes.Starter, name: str, tmp_path: pathlib.Path
) -> None:
    server = await start.server()
    await start.worker(concurrency=1)
    async with duetime_client.AsyncClient(server.address) as client:
        task_id = await client.create(name, clients.NOW, {"seconds": 60})
        await clients.happened(tmp_path, task_id, "began")
        assert (await client.cancel(task_id)).status is Status.CANCELLED
        # The only slot is free for this task once the handler of the other has ended.
        await clients.finished(client, await client.create("echo", clients.NOW))
        assert await clients.changes(client, task_id) == ["created", "started", "cancelled"]
    assert [each.what for each in clients.handler_events(tmp_path, task_id)] == ["began", "cancelled"]


async def test_a_pending_task_that_is_cancelled_or_deleted_does_not_run(
    client: duetime_client.AsyncClient, pair: processes.Pair
) -> None:
    soon = datetime.timedelta(seconds=4)  # after all these calls, also on a busy machine
    cancelled, deleted = await client.create("echo", soon), await client.create("echo", soon)
    await client.cancel(cancelled)
    await client.delete(deleted)
    later = await client.create("echo", soon)
    await clients.finished(client, later)
    assert [each.task_id for each in clients.handler_events(pair.directory, cancelled, deleted, later)] == [later]
    assert await clients.changes(client, cancelled) == ["created", "cancelled"]
    assert await clients.changes(client, deleted) == ["created", "deleted"]


async def test_a_rescheduled_task_runs_at_its_new_time(client: duetime_client.AsyncClient) -> None:
    hour, soon, later = (datetime.timedelta(seconds=seconds) for seconds in (3600, 3, 4))
    earlier_id, later_id = await client.create("echo", hour), await client.create("echo", soon)
    await client.update(earlier_id, execution_time=soon)
    await client.update(later_id, execution_time=later)
    for task_id in (earlier_id, later_id):
        done = await clients.finished(client, task_id)
        assert done.executed_at is not None
        lateness = done.executed_at - done.execution_time
        assert datetime.timedelta(0) <= lateness < datetime.timedelta(seconds=5)
        assert await clients.changes(client, task_id) == ["created", "updated", "started", "completed"]


async def test_a_failed_task_that_is_retried_runs_again_with_all_its_retries(
    client: duetime_client.AsyncClient,
) -> None:
    task_id = await client.create("fail", clients.NOW, max_retries=1, retry_policy=SOON)
    await clients.finished(client, task_id)
    retried = await client.retry(task_id)
    assert (retried.status, retried.retry_count, retried.error_message) == (Status.PENDING, 0, "")
    await clients.finished(client, task_id)
    assert await clients.changes(client, task_id) == [
        "created",
        *["started", "retry_scheduled", "started", "failed"],
        "retried",
        *["started", "retry_scheduled", "started", "failed"],
    ]
