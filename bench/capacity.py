"""Capacity: what becomes of a worker's places when it has as much to do as it can.

Its places are used well if one run follows the other at once. The tasks are due already, and their handlers wait for
100 ms each, as for somebody else's answer. The places that were used are the time that all runs took by the log, in
percent of what all places had between the first start and the last completion.

A long queue must not hold up a short one. One worker serves a queue with many waiting tasks that do nothing, and a
queue with a task every 50 ms. Measured is how late those tasks of the second start that are due while the first drains
and, for comparison, how late they start while nothing else waits.
"""

import asyncio
import datetime

import duetime_client
from bench import harness, histories, percentiles, report, waiting

CONCURRENCY = 100
WAIT_SECONDS = 0.1
WAITING, TINY_WAITING = 10_000, 200

LONG, TINY_LONG = 20_000, 2_000
SHORT_INTERVAL_SECONDS = 0.05
SHORT_SECONDS, TINY_SHORT_SECONDS = 10.0, 1.0
"""For so long tasks of the short queue come due: longer than the long one takes."""

_PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)

_RUNNING_SECONDS = """
SELECT extract(epoch FROM sum(duration))::float8 AS seconds FROM task_logs WHERE change = 'completed'
"""
_SHORT_LATE = """
SELECT extract(epoch FROM timestamp - execution_time)::float8 * 1000 AS milliseconds
FROM task_logs JOIN tasks USING (task_id, execution_time), (
    SELECT min(timestamp) FILTER (WHERE change = 'started') AS first,
        max(timestamp) FILTER (WHERE change = 'completed') AS last
    FROM task_logs JOIN tasks USING (task_id) WHERE queue = 'long'
) AS long
WHERE queue = 'short' AND change = 'started' AND (long.first IS NULL OR execution_time BETWEEN long.first AND long.last)
"""


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures the places, and the short queue alone and beside the long one."""
    long = TINY_LONG if session.is_tiny else LONG
    for _ in range(session.rounds):
        results.add(f"places used by handlers that wait {1000 * WAIT_SECONDS:.0f} ms", await _places_used(session), "%")
        for label, waiting_tasks in (("alone", 0), (f"while a queue of {long:,} drains", long)):
            late = await _short_late(session, waiting_tasks)
            for percent in (50, 99):
                results.add(f"late start, {label}: p{percent}", percentiles.of(late, percent), "ms")


async def _places_used(session: harness.Session) -> float:
    tasks = TINY_WAITING if session.is_tiny else WAITING
    async with session.deployment() as deployment:
        async with await deployment.client() as client:
            await client.create_many([duetime_client.NewTask("wait", _PAST, {"seconds": WAIT_SECONDS})] * tasks)
        await deployment.start_workers(1, concurrency=CONCURRENCY)
        await waiting.until_completed(deployment, tasks)
        await histories.verify(deployment, tasks=tasks)
        (running,) = await deployment.query(_RUNNING_SECONDS)
        return 100 * float(running["seconds"]) / (CONCURRENCY * (await histories.span(deployment)).seconds)


async def _short_late(session: harness.Session, long: int) -> list[float]:
    """Returns how many milliseconds late the short queue's tasks started that were due while the long one drained."""
    async with session.deployment() as deployment:
        await deployment.start_workers(1, queues="long,short", concurrency=CONCURRENCY)
        due = waiting.due_after_creating(long)
        short = round((TINY_SHORT_SECONDS if session.is_tiny else SHORT_SECONDS) / SHORT_INTERVAL_SECONDS)
        async with await deployment.client() as client:
            await client.create_many([duetime_client.NewTask("noop", due, {}, queue="long")] * long)
            moments = (due + datetime.timedelta(seconds=SHORT_INTERVAL_SECONDS * number) for number in range(1, short))
            await client.create_many([duetime_client.NewTask("noop", moment, {}, queue="short") for moment in moments])
        await waiting.until(due)
        await asyncio.sleep(SHORT_INTERVAL_SECONDS * short)  # whoever looks whether they are done is in their way
        await waiting.until_completed(deployment, long + short - 1)
        await histories.verify(deployment, tasks=long + short - 1)
        return [row["milliseconds"] for row in await deployment.query(_SHORT_LATE)]
