"""Limits: three workers on one limited queue, measured by what their handlers append to one file.

Measures the maximum number of handlers that ran at once, by the order in the file, and how fast tasks start under a
rate limit, by the times in it. A handler takes 5 ms. The rate is measured after the initial burst that the full token
bucket allows.
"""

from typing import Any

import duetime_client
from bench import harness, histories, report, spans, waiting

TASKS, TINY_TASKS = 10_000, 200
WORKERS = 3
MAX_RUNNING = 5
RATES = (100, 1_000)
RATE_SECONDS = 10
QUEUE = "default"


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures the concurrency limits of the queue and of each key, and rate limits."""
    tasks = TINY_TASKS if session.is_tiny else TASKS
    for _ in range(session.rounds):
        async with session.deployment() as deployment:
            await _drain(deployment, tasks, max_running=MAX_RUNNING)
            found = spans.read(deployment.directory)
            results.add(
                f"{WORKERS} workers, max_running {MAX_RUNNING}: most at once", spans.most_at_once(found), "tasks"
            )
            results.add(
                f"{WORKERS} workers, max_running {MAX_RUNNING}", (await histories.span(deployment)).rate, "tasks/s"
            )
        async with session.deployment() as deployment:
            await _drain(deployment, tasks, max_running_per_key=1)
            found = spans.read(deployment.directory)
            most = max(spans.most_at_once([each for each in found if each.key == key]) for key in _KEYS)
            results.add(
                f"{WORKERS} workers, max_running_per_key 1, {len(_KEYS)} keys: most of a key at once", most, "tasks"
            )
            results.add(
                f"{WORKERS} workers, max_running_per_key 1, {len(_KEYS)} keys",
                (await histories.span(deployment)).rate,
                "tasks/s",
            )
        for rate in RATES:
            async with session.deployment() as deployment:
                await _drain(deployment, TINY_TASKS if session.is_tiny else rate * RATE_SECONDS, max_per_second=rate)
                burst = 1 + rate // 10
                starts = sorted(each.at for each in spans.read(deployment.directory) if each.begins)[burst - 1 :]
                reached = (len(starts) - 1) / (starts[-1] - starts[0])
                results.add(f"{WORKERS} workers, max_per_second {rate:,}", reached, "tasks/s")
                results.add(f"{WORKERS} workers, max_per_second {rate:,}: deviation", 100 * (reached / rate - 1), "%")


_KEYS = [f"customer-{number}" for number in range(20)]


async def _drain(deployment: harness.Deployment, tasks: int, **limits: Any) -> None:
    async with await deployment.client() as client:
        await client.update_queue(QUEUE, **limits, allow_missing=True)
        now = waiting.due_after_creating(0)
        await client.create_many(
            duetime_client.NewTask("span", now, concurrency_key=_KEYS[number % len(_KEYS)]) for number in range(tasks)
        )
    await deployment.analyze()
    await deployment.start_workers(WORKERS)
    await waiting.until_completed(deployment, tasks)
    await histories.verify(deployment, tasks=tasks)
