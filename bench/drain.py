"""Drain: how fast workers complete tasks that are due already, compared with pgqueuer.

Both log the whole history of each task, on the same PostgreSQL with synchronous_commit on. A task carries two short
strings, and its handler does nothing. Measures the time from the first start to the last completion, by the timestamps
in PostgreSQL's log tables. The tables are vacuumed and analyzed before the workers start, as autovacuum does within a
minute: otherwise PostgreSQL's choice of plans, for both, would be left to chance.

Duetime: default settings, so that a worker runs at most 1,000 tasks at once; and DUETIME_CONCURRENCY=100.
pgqueuer: durable tables, `pgq autovac`, asyncpg with a pool of 5 to 20 connections, uvloop. Its batch_size is how many
jobs one statement claims, and how many log rows it writes together; it does not limit how many run at once. A
concurrency of 1,000 is compared with a batch_size of 1,000, and 100 with 100.
"""

import datetime

import duetime_client
from bench import harness, histories, pgqueuer, reference, report, waiting

TASKS, TINY_TASKS = 30_000, 300
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
SIZES = (harness.CONCURRENCY, 100)
"""The concurrency of Duetime's workers, and pgqueuer's batch_size that it is compared with."""
GOALS = {1: report.Goal(1.5, 2.5), 2: report.Goal(1.1, 1.4)}
"""The speed relative to pgqueuer, by the number of workers."""


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
                results.add(f"pgqueuer, {count}, batch_size {size:,}", theirs, "tasks/s")
                results.add(f"Duetime, {count}, concurrency {size:,}", ours, "tasks/s")
                label = f"Duetime, {count}, concurrency {size:,}: speed relative to pgqueuer"
                results.compare(label, ours, theirs, goal=goal)


async def _ours(session: harness.Session, workers: int, tasks: int, *, concurrency: int) -> float:
    async with session.deployment() as deployment:
        async with await deployment.client() as client:
            await client.create_many(
                [duetime_client.NewTask("noop", PAST, {"to": "ada@example.com", "subject": "hello"})] * tasks
            )
        await deployment.analyze()
        await deployment.start_workers(workers, concurrency=concurrency)
        await waiting.until_completed(deployment, tasks)
        await histories.verify(deployment, tasks=tasks)
        return (await histories.span(deployment)).rate


async def _theirs(
    session: harness.Session, programs: reference.Reference, workers: int, tasks: int, *, batch_size: int
) -> float:
    async with pgqueuer.deploy(session, programs) as deployment:
        await deployment.enqueue(tasks)
        await deployment.analyze()
        await deployment.start_workers(workers, batch_size=batch_size)
        await deployment.until_done(tasks)
        return (await deployment.span()).rate
