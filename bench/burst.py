"""Burst: many tasks due at the same moment, and two idle workers, compared with pgqueuer.

Measures how long after that moment the last task started and the last one completed, by the timestamps in PostgreSQL's
log tables. The tasks carry two short strings and their handler does nothing. All are created, and the tables vacuumed
and analyzed, before they are due.

Duetime: default settings, so a concurrency of 1,000 per worker.
pgqueuer: as in drain, with a batch_size of 1,000. The jobs are enqueued in one statement with execute_after, and the
workers sleep until then.
"""

import duetime_client
from bench import harness, histories, pgqueuer, reference, report, waiting

SIZES, TINY_SIZES = (20_000, 100_000), (200,)
WORKERS = 2
GOAL = report.Goal(1.0, 0.5)


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures both at each size."""
    programs = reference.Reference("pgqueuer")
    await programs.install()
    for _ in range(session.rounds):
        for tasks in TINY_SIZES if session.is_tiny else SIZES:
            ours = await _ours(session, results, tasks)
            theirs = await _theirs(session, results, programs, tasks)
            results.compare(
                f"Duetime, {tasks:,} tasks: lateness of the last start, relative to pgqueuer", ours, theirs, goal=GOAL
            )


async def _ours(session: harness.Session, results: report.Report, tasks: int) -> float:
    async with session.deployment() as deployment:
        await deployment.start_workers(WORKERS)
        async with await deployment.client() as client:
            due = waiting.due_after_creating(tasks)
            await client.create_many(
                [duetime_client.NewTask("noop", due, {"to": "ada@example.com", "subject": "hello"})] * tasks
            )
        await deployment.analyze()
        await waiting.until(due)
        await waiting.until_completed(deployment, tasks)
        await histories.verify(deployment, tasks=tasks)
        last_start = (await histories.lateness(deployment))[-1]
        last_completion = (await histories.lateness(deployment, change="completed"))[-1]
    _add(results, f"Duetime, {tasks:,} tasks", last_start, last_completion)
    return last_start


async def _theirs(session: harness.Session, results: report.Report, programs: reference.Reference, tasks: int) -> float:
    async with pgqueuer.deploy(session, programs) as deployment:
        await deployment.start_workers(WORKERS, batch_size=harness.CONCURRENCY)
        due = await deployment.enqueue(tasks, due=waiting.due_after_creating(tasks))
        await deployment.analyze()
        await waiting.until(due)
        await deployment.until_done(tasks)
        last_start = 1000 * (await deployment.latest("picked") - due.timestamp())
        last_completion = 1000 * (await deployment.latest("successful") - due.timestamp())
    _add(results, f"pgqueuer, {tasks:,} tasks", last_start, last_completion)
    return last_start


def _add(results: report.Report, label: str, last_start: float, last_completion: float) -> None:
    results.add(f"{label}: last start", last_start, "ms")
    results.add(f"{label}: last completion", last_completion, "ms")
