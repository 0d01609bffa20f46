"""Limits: three workers on one queue that is limited, and what their handlers wrote into one file.

Measured is the most handlers that were within their run at once, in the order in which they wrote; and how fast tasks
start where a rate limits them, by the times that they wrote. Handlers take 5 ms. The rate is counted from the first
start after the burst that a rest had saved.
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
    """Measures a limit of what runs at once, over all and per key, and rates."""
    tasks = TINY_TASKS if session.is_tiny else TASKS
    for _ in range(session.rounds):
        async with session.deployment() as deployment:
            await _play(deployment, tasks, max_running=MAX_RUNNING)
            found = spans.read(deployment.directory)
            results.add(f"{WORKERS} workers, at most {MAX_RUNNING}: most at once", spans.most_at_once(found), "tasks")
            results.add(f"{WORKERS} workers, at most {MAX_RUNNING}", (await histories.span(deployment)).rate, "tasks/s")
        async with session.deployment() as deployment:
            await _play(deployment, tasks, max_running_per_key=1)
            found = spans.read(deployment.directory)
            most = max(spans.most_at_once([each for each in found if each.key == key]) for key in _KEYS)
            results.add(f"{WORKERS} workers, one of each of {len(_KEYS)} keys: most of a key at once", most, "tasks")
            results.add(
                f"{WORKERS} workers, one of each of {len(_KEYS)} keys",
                (await histories.span(deployment)).rate,
                "tasks/s",
            )
        for rate in RATES:
            async with session.deployment() as deployment:
                await _play(deployment, TINY_TASKS if session.is_tiny else rate * RATE_SECONDS, max_per_second=rate)
                burst = 1 + rate // 10
                starts = sorted(each.at for each in spans.read(deployment.directory) if each.begins)[burst - 1 :]
                reached = (len(starts) - 1) / (starts[-1] - starts[0])
                results.add(f"{WORKERS} workers, at most {rate:,} a second", reached, "tasks/s")
                results.add(f"{WORKERS} workers, at most {rate:,} a second: off by", 100 * (reached / rate - 1), "%")


_KEYS = [f"customer-{number}" for number in range(20)]


async def _play(deployment: harness.Deployment, tasks: int, **limits: Any) -> None:
    async with await deployment.client() as client:
        await client.update_queue(QUEUE, **limits, allow_missing=True)
        now = waiting.due_after_creating(0)
        await client.create_many(
            duetime_client.NewTask("span", now, concurrency_key=_KEYS[number % len(_KEYS)]) for number in range(tasks)
        )
    await deployment.settle()
    await deployment.start_workers(WORKERS)
    await waiting.until_completed(deployment, tasks)
    await histories.verify(deployment, tasks=tasks)
