"""Drain: tasks that are due already, and how fast workers complete them."""

import datetime

import duetime_client
from bench import histories, report, stage, waiting

TASKS, TINY_TASKS = 30_000, 300
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


async def run(on: stage.Stage, to: report.Report) -> None:
    """Measures one and two workers."""
    for _ in range(on.rounds):
        for workers in (1, 2):
            ours = await _ours(on, workers)
            to.add(f"Duetime, {workers} worker{'s' * (workers > 1)}", ours, "tasks/s")


async def _ours(on: stage.Stage, workers: int) -> float:
    tasks = (TINY_TASKS if on.is_tiny else TASKS) * workers
    async with on.scene() as scene:
        async with await scene.client() as client:
            await client.create_many(
                [duetime_client.NewTask("noop", PAST, {"to": "ada@example.com", "subject": "hello"})] * tasks
            )
        await scene.start_workers(workers)
        await waiting.until_completed(scene, tasks)
        await histories.require_sound(scene, tasks=tasks)
        return (await histories.span(scene)).rate
