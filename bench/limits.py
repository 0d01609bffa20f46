"""Limits: three workers on one queue that is limited, and what their handlers wrote into one file.

Measured is the most handlers that were within their run at once, in the order in which they wrote; and how fast tasks
start where a rate limits them, by the times that they wrote. Handlers take 5 ms. The rate is counted from the first
start after the burst that a rest had saved.
"""

from typing import Any

import duetime_client
from bench import histories, report, spans, stage, waiting

TASKS, TINY_TASKS = 10_000, 200
WORKERS = 3
MAX_RUNNING = 5
RATES = (100, 1_000)
RATE_SECONDS = 10
QUEUE = "default"


async def run(on: stage.Stage, to: report.Report) -> None:
    """Measures a limit of what runs at once, over all and per key, and rates."""
    tasks = TINY_TASKS if on.is_tiny else TASKS
    for _ in range(on.rounds):
        async with on.scene() as scene:
            await _play(scene, tasks, max_running=MAX_RUNNING)
            found = spans.read(scene.directory)
            to.add(f"{WORKERS} workers, at most {MAX_RUNNING}: most at once", spans.most_at_once(found), "tasks")
            to.add(f"{WORKERS} workers, at most {MAX_RUNNING}", (await histories.span(scene)).rate, "tasks/s")
        async with on.scene() as scene:
            await _play(scene, tasks, max_running_per_key=1)
            found = spans.read(scene.directory)
            most = max(spans.most_at_once([each for each in found if each.key == key]) for key in _KEYS)
            to.add(f"{WORKERS} workers, one of each of {len(_KEYS)} keys: most of a key at once", most, "tasks")
            to.add(
                f"{WORKERS} workers, one of each of {len(_KEYS)} keys", (await histories.span(scene)).rate, "tasks/s"
            )
        for rate in RATES:
            async with on.scene() as scene:
                await _play(scene, TINY_TASKS if on.is_tiny else rate * RATE_SECONDS, max_per_second=rate)
                burst = 1 + rate // 10
                starts = sorted(each.at for each in spans.read(scene.directory) if each.begins)[burst - 1 :]
                reached = (len(starts) - 1) / (starts[-1] - starts[0])
                to.add(f"{WORKERS} workers, at most {rate:,} a second", reached, "tasks/s")
                to.add(f"{WORKERS} workers, at most {rate:,} a second: off by", 100 * (reached / rate - 1), "%")


_KEYS = [f"customer-{number}" for number in range(20)]


async def _play(scene: stage.Scene, tasks: int, **limits: Any) -> None:
    async with await scene.client() as client:
        await client.update_queue(QUEUE, **limits, allow_missing=True)
        now = waiting.due_after_creating(0)
        await client.create_many(
            duetime_client.NewTask("span", now, concurrency_key=_KEYS[number % len(_KEYS)]) for number in range(tasks)
        )
    await scene.settle()
    await scene.start_workers(WORKERS)
    await waiting.until_completed(scene, tasks)
    await histories.require_sound(scene, tasks=tasks)
