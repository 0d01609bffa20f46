"""Burst: many tasks that are all due at the same moment, and two workers that wait for it, beside pgqueuer.

Measured is how long after that moment the last task started, and when the last one completed, by the times that
PostgreSQL wrote into the log. The tasks carry two short strings, their handler does nothing, and they are all created,
and their tables vacuumed and analyzed, before they are due.

Duetime: all defaults, so 100 places a worker.
pgqueuer: as in drain; its jobs are enqueued in one statement with execute_after, and its workers sleep until then.
"""

import datetime
import time

import duetime_client
from bench import histories, pgqueuer, reference, report, stage, waiting

SIZES, TINY_SIZES = (20_000, 100_000), (200,)
COMPARED, TINY_COMPARED = 20_000, 200
WORKERS = 2
GOAL = report.Goal(1.0, 0.5)
_SETTLED_SECONDS = 3.0
_CREATED_PER_SECOND = 2_000  # many fewer than a client creates, so that all are there in time


async def run(on: stage.Stage, to: report.Report) -> None:
    """Measures each size, and beside pgqueuer the first."""
    programs = reference.Reference("pgqueuer")
    await programs.install()
    compared = TINY_COMPARED if on.is_tiny else COMPARED
    for _ in range(on.rounds):
        for tasks in TINY_SIZES if on.is_tiny else SIZES:
            ours = await _ours(on, to, tasks)
            if tasks == compared:
                theirs = await _theirs(on, to, programs, tasks)
                to.compare(f"Duetime / pgqueuer, {tasks:,} tasks: last start", ours, theirs, goal=GOAL)


async def _ours(on: stage.Stage, to: report.Report, tasks: int) -> float:
    async with on.scene() as scene:
        await scene.start_workers(WORKERS)
        due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=_ahead(tasks))
        async with await scene.client() as client:
            await client.create_many(
                [duetime_client.NewTask("noop", due, {"to": "ada@example.com", "subject": "hello"})] * tasks
            )
        await scene.settle()
        _require_before(due.timestamp())
        await waiting.until_completed(scene, tasks)
        await histories.require_sound(scene, tasks=tasks)
        last_start = (await histories.late(scene))[-1]
        last_completion = (await histories.late(scene, change="completed"))[-1]
    _add(to, f"Duetime, {tasks:,} tasks", last_start, last_completion)
    return last_start


async def _theirs(on: stage.Stage, to: report.Report, programs: reference.Reference, tasks: int) -> float:
    async with pgqueuer.play(on, programs) as played:
        await played.start_workers(WORKERS)
        due = await played.enqueue(tasks, seconds=_ahead(tasks))
        await played.settle()
        _require_before(due)
        await played.until_done(tasks)
        last_start = 1000 * (await played.latest("picked") - due)
        last_completion = 1000 * (await played.latest("successful") - due)
    _add(to, f"pgqueuer, {tasks:,} tasks", last_start, last_completion)
    return last_start


def _add(to: report.Report, label: str, last_start: float, last_completion: float) -> None:
    to.add(f"{label}: last start", last_start, "ms")
    to.add(f"{label}: last completion", last_completion, "ms")


def _ahead(tasks: int) -> float:
    return _SETTLED_SECONDS + tasks / _CREATED_PER_SECOND


def _require_before(due: float) -> None:
    if time.time() >= due:
        raise AssertionError("the tasks were due before all were created: the machine is too busy to measure this")
