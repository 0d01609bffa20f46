"""Lateness: how long after its due time each of many evenly spaced tasks starts, compared with Celery.

One otherwise idle worker of each. "By the log" is the time from due to the timestamp in PostgreSQL's log, which is when
the claiming statement began. "In the handler" is the time from due to the handler's first line: by then the claim is
committed, and a cancel or a crash finds the task running. Celery has no log, so it is compared by the latter.

Duetime: default settings; the tasks are created in advance with create_many.
Celery: nothing durable. The broker is Valkey without persistence; tasks have an ETA, are acknowledged early and store
no result; the worker is prefork with one process per core, and holds all tasks in memory before the first is due.
"""

import asyncio
import datetime

import duetime_client
from bench import celery, delays, harness, histories, percentiles, reference, report, waiting

SECONDS, TINY_SECONDS = 10, 1
RATES, TINY_RATES = (200, 1_000), (50,)
PERCENTS = (50, 99, 99.9, 100)
COMPARED = (50, 99)
"""The percentiles that are compared with Celery."""
GOALS: dict[tuple[int, float], report.Goal] = {
    (200, 50): report.Goal(6, 2),
    (200, 99): report.Goal(25, 10),
    (1_000, 99): report.Goal(50, 20),
}
"""For the lateness in the handler, by rate and percentile."""
_RECEIVES_PER_SECOND = 500  # far below what Celery's worker receives, so that all tasks arrive in time


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures both at each rate."""
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
                label = f"Duetime, {rate:,}/s, in the handler: {_name(percent)}, relative to Celery"
                results.compare(label, percentiles.of(ours, percent), percentiles.of(theirs, percent))


async def _ours(session: harness.Session, rate: int, tasks: int) -> tuple[list[float], list[float]]:
    async with session.deployment() as deployment:
        await deployment.start_workers(1)
        async with await deployment.client() as client:
            first = waiting.due_after_creating(tasks)
            dues = (first + datetime.timedelta(seconds=number / rate) for number in range(tasks))
            await client.create_many([duetime_client.NewTask("record lateness", due, {}) for due in dues])
        await _until_due(first, tasks / rate)
        await waiting.until_completed(deployment, tasks)
        await histories.verify(deployment, tasks=tasks)
        return await histories.lateness(deployment), await delays.wait_for(deployment.directory, tasks)


async def _theirs(session: harness.Session, programs: reference.Reference, rate: int, tasks: int) -> list[float]:
    async with session.deployment() as deployment, celery.run_worker(deployment, programs):
        first = waiting.due_after_creating(tasks, per_second=_RECEIVES_PER_SECOND)
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
    await asyncio.sleep(seconds)  # polling meanwhile would disturb the measurement
