"""Drain: tasks that are due already, and how fast workers complete them, beside pgqueuer.

Both keep the whole history of each task in a log, on the same PostgreSQL with synchronous_commit on; a task carries two
short strings, and its handler does nothing. Measured is from the first start to the last completion, by the times that
PostgreSQL wrote into the log. Both have their tables vacuumed and analyzed before workers start, as autovacuum does a
minute after tasks came: which plans PostgreSQL makes for either depends on it, and on chance otherwise.

Duetime: all defaults, so that a worker runs 100 tasks at once and claims no more; and with DUETIME_PLACES=1000.
pgqueuer: durable tables, `pgq autovac`, asyncpg with a pool of 5 to 20 connections, uvloop. Its batch_size is how many
jobs it takes in one statement, and how many rows of its log go together; it does not limit how many run at once. 100
places are compared with a batch_size of 100, and 1,000 places with one of 1,000.
"""

import datetime

import duetime_client
from bench import harness, histories, pgqueuer, reference, report, waiting

TASKS, TINY_TASKS = 30_000, 300
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
SIZES = (100, 1_000)
"""How many places a worker of Duetime has, and the batch_size that it is compared with."""
GOALS = {1: report.Goal(1.5, 2.5), 2: report.Goal(1.1, 1.4)}
"""How many times as fast as pgqueuer, by the number of workers."""


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures one and two workers of each."""
    programs = reference.Reference("pgqueuer")
    await programs.install()
    for _ in range(session.rounds):
        for workers, goal in GOALS.items():
            tasks = (TINY_TASKS if session.is_tiny else TASKS) * workers
            count = f"{workers} worker{'s' * (workers > 1)}"
            for size in SIZES:
                theirs = await _theirs(session, programs, workers, tasks, batch_size=size)
                ours = await _ours(session, workers, tasks, concurrency=size)
                results.add(f"pgqueuer, {count} of batch_size {size:,}", theirs, "tasks/s")
                results.add(f"Duetime, {count} of {size:,} places", ours, "tasks/s")
                label = f"Duetime, {count} of {size:,} places: times as fast as pgqueuer"
                results.compare(label, ours, theirs, goal=goal)


async def _ours(session: harness.Session, workers: int, tasks: int, *, concurrency: int) -> float:
    async with session.deployment() as deployment:
        async with await deployment.client() as client:
            await client.create_many(
                [duetime_client.NewTask("noop", PAST, {"to": "ada@example.com", "subject": "hello"})] * tasks
            )
        await deployment.settle()
        await deployment.start_workers(workers, concurrency=concurrency)
        await waiting.until_completed(deployment, tasks)
        await histories.verify(deployment, tasks=tasks)
        return (await histories.span(deployment)).rate


async def _theirs(
    session: harness.Session, programs: reference.Reference, workers: int, tasks: int, *, batch_size: int
) -> float:
    async with pgqueuer.deploy(session, programs) as deployment:
        await deployment.enqueue(tasks)
        await deployment.settle()
        await deployment.start_workers(workers, batch_size=batch_size)
        await deployment.until_done(tasks)
        return (await deployment.span()).rate
