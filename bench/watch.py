"""Watch: how soon watchers have a change, and what a watch costs while nothing happens.

A change is as old as its log row: `timestamp` is the database's clock when the statement began that wrote it, so what
that statement and its commit took counts too. Watchers and database share the machine: its clock, and its cores, so
what the watchers need to take an event up counts as well.
"""

import asyncio
import datetime

import psutil

import duetime_client
from bench import harness, load, report

TASKS, TINY_TASKS = 1_000, 50
TASKS_A_SECOND = 200
MOVING = 50
"""Tasks that are moved at once, from the far future to the moment that they run."""
LEAD = datetime.timedelta(seconds=2)
"""How long after that the first runs: enough to move them all."""
STREAMS, TINY_STREAMS = 10_000, 100
FAR = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)

LATENCY_GOAL = report.Goal(50, 15)
MEMORY_GOAL = report.Goal(40, 25)


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures watches of many tasks that run, and then many watches of one task."""
    for _ in range(session.rounds):
        await _many_tasks(session, results)
        await _many_streams(session, results)


async def _many_tasks(session: harness.Session, results: report.Report) -> None:
    tasks = TINY_TASKS if session.is_tiny else TASKS
    async with session.deployment() as deployment, await deployment.client() as client:
        task_ids = await client.create_many([duetime_client.NewTask("noop", FAR)] * tasks)
        await deployment.start_workers(1)
        # Each task is updated, so that it runs soon, started and completed.
        wanted = ("--changes", 3, "--kinds", "started", "completed")
        async with load.started("load_watch", deployment.servers[0].address, *wanted, given=task_ids) as watchers:
            await watchers.until_ready()
            await _schedule(client, task_ids)
            received = await watchers.result()
    if received["changes"] != 2 * tasks:
        raise AssertionError(f"{tasks} tasks ran, but {received['changes']} of their starts and ends were received")
    label = f"{tasks:,} watches: change to receipt"
    results.add(f"{label}, p50", received["p50"], "ms")
    results.add(f"{label}, p99", received["p99"], "ms", goal=LATENCY_GOAL)


async def _schedule(client: duetime_client.AsyncClient, task_ids: list[int]) -> None:
    """Moves the tasks so that they run evenly, one after another, soon."""
    first = datetime.datetime.now(datetime.UTC) + LEAD
    for begin in range(0, len(task_ids), MOVING):
        await asyncio.gather(
            *(
                client.update(task_id, execution_time=first + datetime.timedelta(seconds=number / TASKS_A_SECOND))
                for number, task_id in enumerate(task_ids[begin : begin + MOVING], begin)
            )
        )


async def _many_streams(session: harness.Session, results: report.Report) -> None:
    streams = TINY_STREAMS if session.is_tiny else STREAMS
    async with session.deployment() as deployment, await deployment.client() as client:
        task_id = await client.create("noop", FAR)
        server = psutil.Process(deployment.servers[0].pid)
        before = server.memory_info().rss
        wanted = ("--changes", 1, "--kinds", "updated")
        given = [task_id] * streams
        async with load.started("load_watch", deployment.servers[0].address, *wanted, given=given) as watchers:
            await watchers.until_ready()
            after = server.memory_info().rss
            await client.update(task_id, name="noop")
            received = await watchers.result()
    if received["changes"] != streams:
        raise AssertionError(f"{received['changes']} of {streams} watches received the change")
    results.add(
        f"{streams:,} watches: server memory of each",
        (after - before) / streams / 1024,
        "KiB",
        goal=MEMORY_GOAL,
    )
    results.add(f"{streams:,} watches of one task: the last receipt", received["last"], "ms")
