"""A task that ends whichever worker runs it, among many others."""

import asyncio

import pytest

import duetime_client
from duetime_client import NewTask, Status
from tests import clients, processes

GOOD = 199


async def keep_a_worker(start: processes.Starter) -> None:
    """Starts a worker again whenever it has died, for ever, as an operator's supervisor would."""
    while True:
        worker = await start.worker(lease="PT1S", places=100)
        await worker.ended(seconds=120)


@pytest.mark.parametrize("position", [0, 99, 150])
async def test_a_task_that_ends_its_workers_fails_alone(start: processes.Starter, position: int) -> None:
    server = await start.server()
    new = [NewTask("noop", clients.NOW) for _ in range(GOOD)]
    new.insert(position, NewTask("exit", clients.NOW))
    async with duetime_client.AsyncClient(server.address) as client:
        task_ids = await client.create_many(new)
        poison = task_ids.pop(position)
        supervisors = [asyncio.create_task(keep_a_worker(start)) for _ in range(2)]
        failed = await clients.finished(client, poison, seconds=90)
        good = [await clients.finished(client, task_id, seconds=60) for task_id in task_ids]
        for supervisor in supervisors:
            supervisor.cancel()
    assert (failed.status, failed.retry_count) == (Status.FAILED, 3)
    assert failed.error_message.endswith("lost 4 times in a row: the task may be what ends them.")
    assert {each.status for each in good} == {Status.COMPLETED}
    assert max(each.retry_count for each in good) <= 3
