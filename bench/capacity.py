"""Capacity: how well a fully loaded worker uses its concurrency.

Slots are well used if the next run starts as soon as one ends. That is measured with 100 slots, which a machine with
two cores can keep full; the rest with default settings. The tasks are due already, and each handler sleeps for 100 ms,
as if it waited for a remote service. Slot utilization is the total duration of all runs by the log, in percent of the
time that all slots had between the first start and the last completion.

A long queue must not delay a short one. One worker serves a queue with many due tasks whose handler does nothing, and
a queue with a task every 50 ms. Measures how late the tasks of the short queue start while the long one drains and, for
comparison, while it is empty.
"""

import asyncio
import datetime

import duetime_client
from bench import harness, histories, percentiles, report, waiting

SLOTS = 100
WAIT_SECONDS = 0.1
WAITING, TINY_WAITING = 10_000, 200

LONG, TINY_LONG = 20_000, 2_000
SHORT_INTERVAL_SECONDS = 0.05
SHORT_SECONDS, TINY_SHORT_SECONDS = 10.0, 1.0
"""How long the short queue has tasks: longer than the long queue takes to drain."""

_PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)

_RUNNING_SECONDS = """
SELECT extract(epoch FROM sum(duration))::float8 AS seconds FROM task_logs WHERE change = 'completed'
"""
_SHORT_LATE = """
SELECT extract(epoch FROM timestamp - execution_time)::float8 * 1000 AS milliseconds
FROM task_logs, (
    SELECT min(timestamp) FILTER (WHERE change = 'started') AS first,
        max(timestamp) FILTER (WHERE change = 'completed') AS last
    FROM task_logs WHERE queue = 'long'
) AS long
WHERE queue = 'short' AND change = 'started' AND (long.first IS NULL OR execution_time BETWEEN long.first AND long.last)
"""


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures slot utilization, and the lateness of the short queue alone and beside the long one."""
    long = TINY_LONG if session.is_tiny else LONG
    for _ in range(session.rounds):
        results.add(
            f"slot utilization, handlers that sleep {1000 * WAIT_SECONDS:.0f} ms", await _slot_utilization(session), "%"
        )
        for label, waiting_tasks in (("short queue alone", 0), (f"while a queue of {long:,} tasks drains", long)):
            late = await _short_late(session, waiting_tasks)
            for percent in (50, 99):
                results.add(f"lateness, {label}: p{percent}", percentiles.of(late, percent), "ms")


async def _slot_utilization(session: harness.Session) -> float:
    tasks = TINY_WAITING if session.is_tiny else WAITING
    async with session.deployment() as deployment:
        async with await deployment.client() as client:
            await client.create_many([duetime_client.NewTask("wait", _PAST, {"seconds": WAIT_SECONDS})] * tasks)
        await deployment.start_workers(1, concurrency=SLOTS)
        await waiting.until_completed(deployment, tasks)
        await histories.verify(deployment, tasks=tasks)
        (running,) = await deployment.query(_RUNNING_SECONDS)
        return 100 * float(running["seconds"]) / (SLOTS * (await histories.span(deployment)).seconds)


async def _short_late(session: harness.Session, long: int) -> list[float]:
    """Returns the lateness in ms of the short queue's tasks that were due while the long queue drained."""
    async with session.deployment() as deployment:
        await deployment.start_workers(1, queues="long,short")
        due = waiting.due_after_creating(long)
        short = round((TINY_SHORT_SECONDS if session.is_tiny else SHORT_SECONDS) / SHORT_INTERVAL_SECONDS)
        async with await deployment.client() as client:
            await client.create_many([duetime_client.NewTask("noop", due, {}, queue="long")] * long)
            moments = (due + datetime.timedelta(seconds=SHORT_INTERVAL_SECONDS * number) for number in range(1, short))
            await client.create_many([duetime_client.NewTask("noop", moment, {}, queue="short") for moment in moments])
        await waiting.until(due)
        await asyncio.sleep(SHORT_INTERVAL_SECONDS * short)  # polling meanwhile would disturb the measurement
        await waiting.until_completed(deployment, long + short - 1)
        await histories.verify(deployment, tasks=long + short - 1)
        return [row["milliseconds"] for row in await deployment.query(_SHORT_LATE)]
