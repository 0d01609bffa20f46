"""Lateness: tasks scheduled ahead, evenly spaced, and how long after it was due each starts, beside Celery.

One worker of each, with nothing else to do. "By the log" is from due to the moment that PostgreSQL wrote into the log,
which is when the claim that took the task began. "In the handler" is from due to the handler's first line: the claim
is committed, and a cancel or a crash finds the task running. Celery keeps no log, so the two are compared by that one.

Duetime: all defaults, tasks created ahead with create_many.
Celery: nothing durable. The broker is Valkey without persistence, tasks have an ETA, are acknowledged early and keep no
result; the worker is prefork with a process a core, and holds all tasks in its memory before the first is due.
"""

import asyncio
import datetime

import duetime_client
from bench import celery, delays, harness, histories, percentiles, reference, report, waiting

SECONDS, TINY_SECONDS = 10, 1
RATES, TINY_RATES = (200, 1_000), (50,)
PERCENTS = (50, 99, 99.9, 100)
COMPARED = (50, 99)
"""By which of these the two are compared."""
GOALS: dict[tuple[int, float], report.Goal] = {
    (200, 50): report.Goal(6, 2),
    (200, 99): report.Goal(25, 10),
    (1_000, 99): report.Goal(50, 20),
}
"""Of the lateness in the handler, by rate and percentile."""
_RECEIVED_PER_SECOND = 500  # many fewer than Celery's worker receives, so that all are there in time


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures each rate."""
    programs = reference.Reference("celery")
    await programs.install()
    for _ in range(session.rounds):
        for rate in TINY_RATES if session.is_tiny else RATES:
            tasks = rate * (TINY_SECONDS if session.is_tiny else SECONDS)
            by_log, ours = await _ours(session, rate, tasks)
            theirs = await _theirs(session, programs, rate, tasks)
            for percent in PERCENTS:
                _add(results, f"Duetime, {rate:,}/s, by the log", by_log, percent)
            for percent in PERCENTS:
                goal = GOALS.get((rate, percent))
                _add(results, f"Duetime, {rate:,}/s, in the handler", ours, percent, goal)
            for percent in PERCENTS:
                _add(results, f"Celery, {rate:,}/s, in the handler", theirs, percent)
            for percent in COMPARED:
                label = f"Duetime, {rate:,}/s, in the handler: {_name(percent)}, times as late as Celery"
                results.compare(label, percentiles.of(ours, percent), percentiles.of(theirs, percent))


async def _ours(session: harness.Session, rate: int, tasks: int) -> tuple[list[float], list[float]]:
    async with session.deployment() as deployment:
        await deployment.start_workers(1)
        async with await deployment.client() as client:
            first = waiting.due_after_creating(tasks)
            dues = (first + datetime.timedelta(seconds=number / rate) for number in range(tasks))
            await client.create_many([duetime_client.NewTask("note", due, {}) for due in dues])
        await _until_due(first, tasks / rate)
        await waiting.until_completed(deployment, tasks)
        await histories.verify(deployment, tasks=tasks)
        return await histories.late(deployment), await delays.wait_for(deployment.directory, tasks)


async def _theirs(session: harness.Session, programs: reference.Reference, rate: int, tasks: int) -> list[float]:
    async with session.deployment() as deployment, celery.run_worker(deployment, programs):
        first = waiting.due_after_creating(tasks, per_second=_RECEIVED_PER_SECOND)
        await celery.schedule(deployment, programs, tasks=tasks, rate=rate, first=first.timestamp())
        await _until_due(first, tasks / rate)
        return await delays.wait_for(deployment.directory, tasks)


def _add(
    results: report.Report, label: str, values: list[float], percent: float, goal: report.Goal | None = None
) -> None:
    results.add(f"{label}: {_name(percent)}", percentiles.of(values, percent), "ms", goal=goal)


def _name(percent: float) -> str:
    return "max" if percent == 100 else f"p{percent:g}"


async def _until_due(first: datetime.datetime, seconds: float) -> None:
    await waiting.until(first)
    await asyncio.sleep(seconds)  # whoever looks whether they are done is in their way
