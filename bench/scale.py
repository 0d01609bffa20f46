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
from bench import harness, histories, percentiles, prefill, report, waiting

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


async def run(session: harness.Session, results: report.Report) -> None:
    """Fills the databases once, and measures each in every round."""
    size = await prefill.size(session, TINY_SIZED if session.is_tiny else SIZED)
    databases = {count: await prefill.fill(session, count) for count in (TINY_SIZES if session.is_tiny else SIZES)}
    for _ in range(session.rounds):
        measured = {count: await _measure(session, database) for count, database in databases.items()}
        _add(results, "drain", {count: each.drain for count, each in measured.items()}, "tasks/s")
        for percent in (50, 99):
            late = {count: percentiles.of(each.late, percent) for count, each in measured.items()}
            _add(results, f"late start, p{percent}", late, "ms")
        _add(results, "create in batches", {count: each.batch for count, each in measured.items()}, "tasks/s")
        _add(results, "create one, p50", {count: each.single for count, each in measured.items()}, "ms")
        for count, each in measured.items():
            label = f"Valkey's memory, {count:,} waiting and {len(each.late):,} due within the minute"
            results.add(label, each.valkey, "MB", goal=VALKEY_GOAL)
    results.add("PostgreSQL, a waiting task and its index entries", size.task, "bytes")
    results.add("PostgreSQL, its row of the log and index entries", size.log, "bytes")


def _add(results: report.Report, what: str, values: dict[int, float], unit: str) -> None:
    """Adds what was measured with each number of tasks, and how many times slower it was than with the fewest."""
    for count, value in values.items():
        results.add(f"{what}, {count:,} waiting", value, unit)
    (fewest, least), *others = values.items()
    for count, value in others:
        slower = least / value if unit.endswith("/s") else value / least
        results.add(f"{what}: {count:,} slower than {fewest:,}", slower, "times", goal=SLOWER_GOAL)


async def _measure(session: harness.Session, database: str) -> Measured:
    async with session.deployment(database=database) as deployment:
        empty = await _valkey_megabytes(deployment)
        before = await histories.last(deployment)
        async with await deployment.client() as client:
            batch, single = await _creates(session, deployment, client)
            drain = await _drain(session, deployment, client)
            late, armed = await _late(session, deployment, client)
        valkey = max(armed, await _valkey_megabytes(deployment)) - empty
        await deployment.stop_workers()
        await deployment.execute(
            f"DELETE FROM tasks WHERE task_id > {before}",
            f"DELETE FROM task_logs WHERE task_id > {before}",
            "VACUUM ANALYZE",
        )
    return Measured(batch, single, drain, late, valkey)


async def _creates(
    session: harness.Session, deployment: harness.Deployment, client: duetime_client.AsyncClient
) -> tuple[float, float]:
    """Returns how many tasks a second were created in batches, and the median of the milliseconds of a single one."""
    tasks = TINY_CREATED if session.is_tiny else CREATED
    await client.create_many(_waiting(tasks // 10))  # statements are prepared once they were used a few times
    for new in _waiting(10):
        await client.create(new.name, new.execution_time, new.task_data)
    await deployment.execute("CHECKPOINT")
    news = _waiting(tasks)
    began = time.perf_counter()
    await client.create_many(news)
    batch = tasks / (time.perf_counter() - began)
    milliseconds = []
    for new in _waiting(TINY_SINGLE if session.is_tiny else SINGLE):
        began = time.perf_counter()
        await client.create(new.name, new.execution_time, new.task_data)
        milliseconds.append(1000 * (time.perf_counter() - began))
    return batch, statistics.median(milliseconds)


def _waiting(count: int) -> list[duetime_client.NewTask]:
    """Returns tasks that are due at any time of the next year."""
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    year = datetime.timedelta(days=365)
    return [duetime_client.NewTask("noop", tomorrow + random.random() * year, _DATA) for _ in range(count)]


async def _drain(session: harness.Session, deployment: harness.Deployment, client: duetime_client.AsyncClient) -> float:
    """Returns how many due tasks a second one worker completed. It goes on running."""
    tasks = TINY_DUE if session.is_tiny else DUE
    before = await histories.last(deployment)
    await client.create_many([duetime_client.NewTask("noop", _PAST, _DATA)] * tasks)
    await deployment.execute("CHECKPOINT")
    await deployment.start_workers(1)
    await waiting.until_completed(deployment, tasks, after=before)
    await histories.verify(deployment, tasks=tasks, after=before)
    return (await histories.span(deployment, after=before)).rate


async def _late(
    session: harness.Session, deployment: harness.Deployment, client: duetime_client.AsyncClient
) -> tuple[list[float], float]:
    """Returns how many milliseconds late evenly spread tasks started, by the log.

    And how many megabytes Valkey held right before the first of them was due.
    """
    tasks = RATE * (TINY_LATE_SECONDS if session.is_tiny else LATE_SECONDS)
    before = await histories.last(deployment)
    await deployment.execute("CHECKPOINT")
    first = waiting.due_after_creating(tasks)
    moments = [first + datetime.timedelta(seconds=number / RATE) for number in range(tasks)]
    await client.create_many([duetime_client.NewTask("noop", moment, _DATA) for moment in moments])
    armed = await _valkey_megabytes(deployment)
    await waiting.until(first)
    await asyncio.sleep(tasks / RATE)  # whoever looks whether they are done is in their way
    await waiting.until_completed(deployment, tasks, after=before)
    await histories.verify(deployment, tasks=tasks, after=before)
    return await histories.late(deployment, after=before), armed


async def _valkey_megabytes(deployment: harness.Deployment) -> float:
    async with redis.asyncio.Redis.from_url(deployment.redis_url) as connection:
        return float((await connection.info("memory"))["used_memory"]) / 1e6
