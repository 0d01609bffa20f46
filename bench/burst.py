"""Burst: many tasks that are all due at the same moment, and two workers that wait for it, beside pgqueuer.

Measured is how long after that moment the last task started, and when the last one completed, by the times that
PostgreSQL wrote into the log. The tasks carry two short strings, their handler does nothing, and they are all created,
and their tables vacuumed and analyzed, before they are due.

Duetime: all defaults, so 100 places a worker.
pgqueuer: as in drain, with a batch_size of 100; its jobs are enqueued in one statement with execute_after, and its
workers sleep until then.
"""

import duetime_client
from bench import histories, pgqueuer, reference, report, stage, waiting

SIZES, TINY_SIZES = (20_000, 100_000), (200,)
WORKERS = 2
GOAL = report.Goal(1.0, 0.5)


async def run(on: stage.Stage, to: report.Report) -> None:
    """Measures each size of both."""
    programs = reference.Reference("pgqueuer")
    await programs.install()
    for _ in range(on.rounds):
        for tasks in TINY_SIZES if on.is_tiny else SIZES:
            ours = await _ours(on, to, tasks)
            theirs = await _theirs(on, to, programs, tasks)
            to.compare(f"Duetime, {tasks:,} tasks: last start, times as late as pgqueuer", ours, theirs, goal=GOAL)


async def _ours(on: stage.Stage, to: report.Report, tasks: int) -> float:
    async with on.scene() as scene:
        await scene.start_workers(WORKERS)
        due = waiting.due_after_creating(tasks)
        async with await scene.client() as client:
            await client.create_many(
                [duetime_client.NewTask("noop", due, {"to": "ada@example.com", "subject": "hello"})] * tasks
            )
        await scene.settle()
        await waiting.until(due)
        await waiting.until_completed(scene, tasks)
        await histories.require_sound(scene, tasks=tasks)
        last_start = (await histories.late(scene))[-1]
        last_completion = (await histories.late(scene, change="completed"))[-1]
    _add(to, f"Duetime, {tasks:,} tasks", last_start, last_completion)
    return last_start


async def _theirs(on: stage.Stage, to: report.Report, programs: reference.Reference, tasks: int) -> float:
    async with pgqueuer.play(on, programs) as played:
        await played.start_workers(WORKERS)
        due = await played.enqueue(tasks, due=waiting.due_after_creating(tasks))
        await played.settle()
        await waiting.until(due)
        await played.until_done(tasks)
        last_start = 1000 * (await played.latest("picked") - due.timestamp())
        last_completion = 1000 * (await played.latest("successful") - due.timestamp())
    _add(to, f"pgqueuer, {tasks:,} tasks", last_start, last_completion)
    return last_start


def _add(to: report.Report, label: str, last_start: float, last_completion: float) -> None:
    to.add(f"{label}: last start", last_start, "ms")
    to.add(f"{label}: last completion", last_completion, "ms")
