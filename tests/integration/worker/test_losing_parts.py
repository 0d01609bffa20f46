"""Tasks when workers or Redis are lost or stopped."""

import asyncio
import datetime
import pathlib

import pytest
import redis.asyncio

import duetime_client
from duetime_client import NewTask, Status
from tests.support import clients, processes

LEASE_SECONDS = 4
"""The shortest that is promised to be kept: with a shorter one, a worker may lose it while it lives."""
SWEEP_SECONDS = 1
SLACK_SECONDS = 5
LATEST = datetime.timedelta(seconds=10)
"""Promised are two seconds, of a machine that is not overloaded. Without its sweeps, a worker starts no such task."""


async def test_a_task_whose_worker_is_killed_runs_again_after_its_lease(
    client: duetime_client.AsyncClient, start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    doomed = await start.worker(lease=f"PT{LEASE_SECONDS}S")
    task_id = await client.create("sleep", clients.NOW, {"seconds": 8})
    await clients.happened(tmp_path, task_id, "began")
    survivor = await start.worker()
    killed = datetime.datetime.now(datetime.UTC)
    await doomed.kill()
    done = await clients.finished(client, task_id)
    assert (done.status, done.retry_count) == (Status.COMPLETED, 1)
    logs = [log async for log in client.logs(task_id)]
    assert [log.change for log in logs] == ["created", "started", "lease_lost", "started", "completed"]
    assert logs[2].error_message.endswith("was lost: it stopped extending its lease.")
    limit = datetime.timedelta(seconds=LEASE_SECONDS + SWEEP_SECONDS + SLACK_SECONDS)
    assert logs[3].timestamp - killed < limit
    assert [each.pid for each in clients.handler_events(tmp_path, task_id)] == [doomed.pid, survivor.pid, survivor.pid]


async def test_a_task_longer_than_its_lease_keeps_it(
    client: duetime_client.AsyncClient, start: processes.Starter
) -> None:
    for _ in range(2):
        await start.worker(lease=f"PT{LEASE_SECONDS}S")
    task_id = await client.create("sleep", clients.NOW, {"seconds": 2.5 * LEASE_SECONDS})
    assert (await clients.finished(client, task_id)).retry_count == 0
    assert await clients.changes(client, task_id) == ["created", "started", "completed"]


async def test_a_task_that_kills_its_worker_fails_once_its_retries_are_spent(
    client: duetime_client.AsyncClient, start: processes.Starter
) -> None:
    task_id = await client.create("exit", clients.NOW, max_retries=1)
    for _ in range(2):
        killed = await start.worker(lease=f"PT{LEASE_SECONDS}S")
        await killed.ended()
    await start.worker()
    failed = await clients.finished(client, task_id)
    assert failed.status is Status.FAILED
    assert failed.error_message.endswith("lost 2 times in a row: the task may be what kills them.")
    changes = await clients.changes(client, task_id)
    assert changes == ["created", "started", "lease_lost", "started", "failed"]


async def test_a_stopped_worker_finishes_its_runs_and_loses_nothing(
    client: duetime_client.AsyncClient, start: processes.Starter
) -> None:
    stopped = await start.worker(concurrency=5)
    task_ids = await client.create_many(NewTask("sleep", clients.NOW, {"seconds": 0.5}) for _ in range(10))
    await clients.reached(client, task_ids[0], "started")
    stopped.terminate()
    assert await stopped.ended() == 0
    await start.worker()
    for task_id in task_ids:
        assert (await clients.finished(client, task_id)).retry_count == 0
        assert await clients.changes(client, task_id) == ["created", "started", "completed"]


@pytest.mark.parametrize("name", ["sleep", "block", "stubborn"])
async def test_tasks_still_running_after_the_grace_period_are_released_without_spending_a_retry(
    client: duetime_client.AsyncClient, start: processes.Starter, name: str
) -> None:
    stopped = await start.worker(grace_period="PT0.2S")
    task_id = await client.create(name, clients.NOW, {"seconds": 3600}, max_retries=0)
    await clients.reached(client, task_id, "started")
    stopped.terminate()
    assert await stopped.ended() == 0
    released = await client.get(task_id)
    assert (released.status, released.retry_count) == (Status.PENDING, 0)
    assert await clients.changes(client, task_id) == ["created", "started", "released"]


async def test_a_second_signal_ends_the_grace_period_and_loses_nothing(
    client: duetime_client.AsyncClient, start: processes.Starter
) -> None:
    stopped = await start.worker(grace_period="PT1H")
    task_id = await client.create("sleep", clients.NOW, {"seconds": 3600})
    await clients.reached(client, task_id, "started")
    stopped.terminate()
    await stopped.wait_for_log("event=stopping")
    stopped.terminate()
    assert await stopped.ended() == 0
    assert await clients.changes(client, task_id) == ["created", "started", "released"]


async def test_a_task_that_a_stopped_worker_releases_runs_elsewhere_at_once(
    client: duetime_client.AsyncClient, start: processes.Starter
) -> None:
    stopped = await start.worker(grace_period="PT0S", concurrency=1)
    task_id = await client.create("sleep", clients.NOW, {"seconds": 1})
    await clients.reached(client, task_id, "started")
    await start.worker()
    stopped.terminate()
    done = await clients.finished(client, task_id)
    assert (done.status, done.retry_count) == (Status.COMPLETED, 0)


async def test_sweeps_start_tasks_on_time_after_redis_is_flushed(
    client: duetime_client.AsyncClient, start: processes.Starter, redis_url: str
) -> None:
    await start.worker()
    task_ids = await client.create_many(
        NewTask("noop", datetime.timedelta(seconds=1 + number / 50)) for number in range(50)
    )
    async with redis.asyncio.Redis.from_url(redis_url) as connection:
        await connection.flushdb()
    assert await _latest(client, task_ids) < LATEST


async def test_sweeps_start_tasks_on_time_without_redis(
    start: processes.Starter,
) -> None:
    nowhere = f"redis://127.0.0.1:{processes.free_port()}/0"
    server, _ = await start.server(redis_url=nowhere), await start.worker(redis_url=nowhere)
    async with duetime_client.AsyncClient(server.address) as client:
        began = asyncio.get_running_loop().time()
        task_ids = [await client.create("noop", datetime.timedelta(seconds=1)) for _ in range(20)]
        assert asyncio.get_running_loop().time() - began < 10  # creates wait for no timeout
        assert await _latest(client, task_ids) < LATEST


async def _latest(client: duetime_client.AsyncClient, task_ids: list[int]) -> datetime.timedelta:
    lateness = []
    for task_id in task_ids:
        done = await clients.finished(client, task_id)
        assert done.executed_at is not None
        lateness.append(done.executed_at - done.execution_time)
    assert min(lateness) >= datetime.timedelta(0)
    return max(lateness)


async def test_a_worker_starts_and_stops_without_its_database(
    start: processes.Starter, client: duetime_client.AsyncClient
) -> None:
    worker = await start.worker(database_url="postgresql://postgres@127.0.0.1:1/none")
    await worker.wait_for_log("the database is unavailable")
    worker.terminate()
    assert await worker.ended() == 0


async def test_no_queue_of_a_worker_starves_another(
    client: duetime_client.AsyncClient, start: processes.Starter
) -> None:
    queues = [f"queue-{number}" for number in range(3)]
    by_queue = {
        queue: await client.create_many(NewTask("noop", clients.NOW, queue=queue) for _ in range(300))
        for queue in queues
    }
    ended: list[str] = []
    async with client.watch_all(status=[Status.COMPLETED]) as completions:
        await start.worker(queues=",".join(queues), concurrency=2)
        async for event in completions:
            ended += [queue for queue, task_ids in by_queue.items() if event.change.task_id in task_ids]
            if ended.count(ended[0]) == 300:
                break
    # When the first queue is empty, the others have had their turns too.
    assert min(ended.count(queue) for queue in queues) > 200


async def test_a_handler_module_that_cannot_be_imported_ends_the_worker_with_the_error(
    start: processes.Starter,
) -> None:
    with pytest.raises(AssertionError, match="No module named 'no_such_module'"):
        await start.worker(handlers="no_such_module")
