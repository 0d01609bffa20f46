"""Watch: how soon watchers receive a change, and the memory of an idle watch.

The latency of a change counts from its log row's `timestamp`, the database's clock when the writing statement began, so
it includes that statement and its commit. Watchers and database share the machine's clock and its cores, so it includes
the watchers' own CPU time too.
"""

import asyncio
import datetime

import psutil

import duetime_client
from bench import harness, load, report

TASKS, TINY_TASKS = 1_000, 50
TASKS_PER_SECOND = 200
RESCHEDULED_AT_ONCE = 50
"""How many tasks are rescheduled at once, from the far future to the time when they run."""
LEAD = datetime.timedelta(seconds=2)
"""When the first one runs: late enough to reschedule all of them."""
STREAMS, TINY_STREAMS = 10_000, 100
FAR = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)

LATENCY_GOAL = report.Goal(50, 15)
MEMORY_GOAL = report.Goal(40, 25)


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures watches of many running tasks, and then many watches of one task."""
    for _ in range(session.rounds):
        await _many_tasks(session, results)
        await _many_streams(session, results)


async def _many_tasks(session: harness.Session, results: report.Report) -> None:
    tasks = TINY_TASKS if session.is_tiny else TASKS
    async with session.deployment() as deployment, await deployment.client() as client:
        task_ids = await client.create_many([duetime_client.NewTask("noop", FAR)] * tasks)
        await deployment.start_workers(1)
        # The changes of each task: updated (rescheduled), started, completed.
        wanted = ("--changes", 3, "--kinds", "started", "completed")
        async with load.started("load_watch", deployment.servers[0].address, *wanted, given=task_ids) as watchers:
            await watchers.until_ready()
            await _schedule(client, task_ids)
            received = await watchers.result()
    if received["changes"] != 2 * tasks:
        raise AssertionError(f"{tasks} tasks ran, but {received['changes']} starts and completions were received")
    label = f"{tasks:,} watches: change to receipt"
    results.add(f"{label}, p50", received["p50"], "ms")
    results.add(f"{label}, p99", received["p99"], "ms", goal=LATENCY_GOAL)


async def _schedule(client: duetime_client.AsyncClient, task_ids: list[int]) -> None:
    """Reschedules the tasks to run soon, at even intervals."""
    first = datetime.datetime.now(datetime.UTC) + LEAD
    for begin in range(0, len(task_ids), RESCHEDULED_AT_ONCE):
        await asyncio.gather(
            *(
                client.update(task_id, execution_time=first + datetime.timedelta(seconds=number / TASKS_PER_SECOND))
                for number, task_id in enumerate(task_ids[begin : begin + RESCHEDULED_AT_ONCE], begin)
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
        f"{streams:,} watches: server memory per watch",
        (after - before) / streams / 1024,
        "KiB",
        goal=MEMORY_GOAL,
    )
    results.add(f"{streams:,} watches of one task: last receipt", received["last"], "ms")
