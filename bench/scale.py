"""Scale: whether many other tasks in the database make Duetime slower.

Databases with 10,000, 1,000,000 and 10,000,000 tasks that wait, all in the queue that is measured and spread over the
next year, and as many finished ones with their logs; see `filling`. Each is measured in turn, so that the machine's
drift is the same for all: how fast one client creates tasks with random times, in batches and one by one; how fast one
worker completes tasks that are due; and how late it starts tasks that come due at even intervals. Then the new tasks
are deleted, so that each round finds the same. The ratios say how many times slower it is than with the fewest.

What a waiting task takes in PostgreSQL is measured where a million wait, with indexes that grew with the table. What
Valkey holds is measured against an empty one, with a server and a worker running: while the evenly spaced tasks are all
about to come due, and again at the end; reported is the larger. The tasks that fill the database never went through
Valkey: its wakeups are of the next minute only, and theirs are at least a day away.
"""

import asyncio
import dataclasses
import datetime
import random
import statistics
import time

import redis.asyncio

import duetime_client
from bench import filling, histories, percentiles, report, stage, waiting

SIZES, TINY_SIZES = (10_000, 1_000_000, 10_000_000), (300, 3_000)
SIZED, TINY_SIZED = 1_000_000, 3_000
CREATED, TINY_CREATED = 10_000, 300
SINGLE, TINY_SINGLE = 500, 20
DUE, TINY_DUE = 20_000, 300
RATE = 200
LATE_SECONDS, TINY_LATE_SECONDS = 10, 1

SLOWER_GOAL = report.Goal(1.3, 1.1)
VALKEY_GOAL = report.Goal(10, 2)

_PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_DATA = {"to": "ada@example.com", "subject": "hello"}


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one database showed in one round."""

    batch: float
    single: float
    drain: float
    late: list[float]
    valkey: float


async def run(on: stage.Stage, to: report.Report) -> None:
    """Fills the databases once, and measures each in every round."""
    size = await filling.size(on, TINY_SIZED if on.is_tiny else SIZED)
    databases = {count: await filling.fill(on, count) for count in (TINY_SIZES if on.is_tiny else SIZES)}
    for _ in range(on.rounds):
        measured = {count: await _measure(on, database) for count, database in databases.items()}
        _add(to, "drain", {count: each.drain for count, each in measured.items()}, "tasks/s")
        for percent in (50, 99):
            late = {count: percentiles.of(each.late, percent) for count, each in measured.items()}
            _add(to, f"late start, p{percent}", late, "ms")
        _add(to, "create in batches", {count: each.batch for count, each in measured.items()}, "tasks/s")
        _add(to, "create one, p50", {count: each.single for count, each in measured.items()}, "ms")
        for count, each in measured.items():
            label = f"Valkey's memory, {count:,} waiting and {len(each.late):,} due within the minute"
            to.add(label, each.valkey, "MB", goal=VALKEY_GOAL)
    to.add("PostgreSQL, a waiting task and its index entries", size.task, "bytes")
    to.add("PostgreSQL, its row of the log and index entries", size.log, "bytes")


def _add(to: report.Report, what: str, values: dict[int, float], unit: str) -> None:
    """Adds what was measured with each number of tasks, and how many times slower it was than with the fewest."""
    for count, value in values.items():
        to.add(f"{what}, {count:,} waiting", value, unit)
    (fewest, least), *others = values.items()
    for count, value in others:
        slower = least / value if unit.endswith("/s") else value / least
        to.add(f"{what}: {count:,} slower than {fewest:,}", slower, "times", goal=SLOWER_GOAL)


async def _measure(on: stage.Stage, database: str) -> Measured:
    async with on.scene(database=database) as scene:
        empty = await _valkey_megabytes(scene)
        before = await histories.last(scene)
        async with await scene.client() as client:
            batch, single = await _creates(on, scene, client)
            drain = await _drain(on, scene, client)
            late, armed = await _late(on, scene, client)
        valkey = max(armed, await _valkey_megabytes(scene)) - empty
        await scene.stop_workers()
        await scene.execute(
            f"DELETE FROM tasks WHERE task_id > {before}",
            f"DELETE FROM task_logs WHERE task_id > {before}",
            "VACUUM ANALYZE",
        )
    return Measured(batch, single, drain, late, valkey)


async def _creates(on: stage.Stage, scene: stage.Scene, client: duetime_client.AsyncClient) -> tuple[float, float]:
    """Returns how many tasks a second were created in batches, and the median of the milliseconds of a single one."""
    tasks = TINY_CREATED if on.is_tiny else CREATED
    await client.create_many(_waiting(tasks // 10))  # statements are prepared once they were used a few times
    for new in _waiting(10):
        await client.create(new.name, new.execution_time, new.task_data)
    await scene.execute("CHECKPOINT")
    news = _waiting(tasks)
    began = time.perf_counter()
    await client.create_many(news)
    batch = tasks / (time.perf_counter() - began)
    milliseconds = []
    for new in _waiting(TINY_SINGLE if on.is_tiny else SINGLE):
        began = time.perf_counter()
        await client.create(new.name, new.execution_time, new.task_data)
        milliseconds.append(1000 * (time.perf_counter() - began))
    return batch, statistics.median(milliseconds)


def _waiting(count: int) -> list[duetime_client.NewTask]:
    """Returns tasks that are due at any time of the next year."""
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    year = datetime.timedelta(days=365)
    return [duetime_client.NewTask("noop", tomorrow + random.random() * year, _DATA) for _ in range(count)]


async def _drain(on: stage.Stage, scene: stage.Scene, client: duetime_client.AsyncClient) -> float:
    """Returns how many due tasks a second one worker completed. It goes on running."""
    tasks = TINY_DUE if on.is_tiny else DUE
    before = await histories.last(scene)
    await client.create_many([duetime_client.NewTask("noop", _PAST, _DATA)] * tasks)
    await scene.execute("CHECKPOINT")
    await scene.start_workers(1)
    await waiting.until_completed(scene, tasks, after=before)
    await histories.require_sound(scene, tasks=tasks, after=before)
    return (await histories.span(scene, after=before)).rate


async def _late(on: stage.Stage, scene: stage.Scene, client: duetime_client.AsyncClient) -> tuple[list[float], float]:
    """Returns how many milliseconds late evenly spread tasks started, by the log.

    And how many megabytes Valkey held right before the first of them was due.
    """
    tasks = RATE * (TINY_LATE_SECONDS if on.is_tiny else LATE_SECONDS)
    before = await histories.last(scene)
    await scene.execute("CHECKPOINT")
    first = waiting.due_after_creating(tasks)
    moments = [first + datetime.timedelta(seconds=number / RATE) for number in range(tasks)]
    await client.create_many([duetime_client.NewTask("noop", moment, _DATA) for moment in moments])
    armed = await _valkey_megabytes(scene)
    await waiting.until(first)
    await asyncio.sleep(tasks / RATE)  # whoever looks whether they are done is in their way
    await waiting.until_completed(scene, tasks, after=before)
    await histories.require_sound(scene, tasks=tasks, after=before)
    return await histories.late(scene, after=before), armed


async def _valkey_megabytes(scene: stage.Scene) -> float:
    async with redis.asyncio.Redis.from_url(scene.redis_url) as connection:
        return float((await connection.info("memory"))["used_memory"]) / 1e6
