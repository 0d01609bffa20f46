"""Scale: whether many other tasks in the database make Duetime slower.

Databases with 10,000, 1,000,000 and 10,000,000 pending tasks, all in the measured queue and spread over the next year,
and as many finished ones with their logs; see `prefill`. They are measured in turn, so that the machine's drift affects
all alike: how fast one client creates tasks with random times, in batches and one by one; how fast one worker completes
due tasks; and how late it starts tasks at even intervals. Then the new tasks are deleted, so that all rounds are alike.
The ratios give the slowdown against the smallest database.

The size of a pending task in PostgreSQL is measured among a million, with indexes that grew with the table. Valkey's
memory is measured against an empty Valkey, with a server and a worker running: just before the evenly spaced tasks are
due, and at the end; the larger value is reported. The prefilled tasks never reach Valkey: it holds wakeups of the next
minute only, and theirs are at least a day away.
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
from tests.support import rows

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
    """The figures of one database in one round."""

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
            _add(results, f"lateness, p{percent}", late, "ms")
        _add(results, "create in batches", {count: each.batch for count, each in measured.items()}, "tasks/s")
        _add(results, "create one, p50", {count: each.single for count, each in measured.items()}, "ms")
        for count, each in measured.items():
            label = f"Valkey's memory, {count:,} pending and {len(each.late):,} due within the minute"
            results.add(label, each.valkey, "MB", goal=VALKEY_GOAL)
    results.add("PostgreSQL, a pending task and its index entries", size.task, "bytes")
    results.add("PostgreSQL, its log row and index entries", size.log, "bytes")


def _add(results: report.Report, what: str, values: dict[int, float], unit: str) -> None:
    """Adds the value for each number of tasks, and the slowdown against the smallest."""
    for count, value in values.items():
        results.add(f"{what}, {count:,} pending", value, unit)
    (fewest, least), *others = values.items()
    for count, value in others:
        slower = least / value if unit.endswith("/s") else value / least
        results.add(f"{what}: slowdown of {count:,} against {fewest:,}", slower, "times", goal=SLOWER_GOAL)


async def _measure(session: harness.Session, database: str) -> Measured:
    async with session.deployment(database=database) as deployment:
        empty = await _valkey_megabytes(deployment)
        before = await histories.last(deployment)
        async with await deployment.client() as client:
            batch, single = await _creates(session, deployment, client)
            drain = await _drain(session, deployment, client)
            late, armed = await _lateness(session, deployment, client)
        valkey = max(armed, await _valkey_megabytes(deployment)) - empty
        await deployment.stop_workers()
        await deployment.execute(*rows.delete_after(before), "VACUUM ANALYZE")
    return Measured(batch, single, drain, late, valkey)


async def _creates(
    session: harness.Session, deployment: harness.Deployment, client: duetime_client.AsyncClient
) -> tuple[float, float]:
    """Returns the rate of creates in batches, in tasks/s, and the median latency of a single create, in ms."""
    tasks = TINY_CREATED if session.is_tiny else CREATED
    await client.create_many(_pending(tasks // 10))  # psycopg prepares a statement after a few uses
    for new in _pending(10):
        await client.create(new.name, new.execution_time, new.task_data)
    await deployment.execute("CHECKPOINT")
    news = _pending(tasks)
    began = time.perf_counter()
    await client.create_many(news)
    batch = tasks / (time.perf_counter() - began)
    milliseconds = []
    for new in _pending(TINY_SINGLE if session.is_tiny else SINGLE):
        began = time.perf_counter()
        await client.create(new.name, new.execution_time, new.task_data)
        milliseconds.append(1000 * (time.perf_counter() - began))
    return batch, statistics.median(milliseconds)


def _pending(count: int) -> list[duetime_client.NewTask]:
    """Returns tasks that are due at random times in the next year."""
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    year = datetime.timedelta(days=365)
    return [duetime_client.NewTask("noop", tomorrow + random.random() * year, _DATA) for _ in range(count)]


async def _drain(session: harness.Session, deployment: harness.Deployment, client: duetime_client.AsyncClient) -> float:
    """Returns the rate at which one worker completed due tasks, in tasks/s. The worker keeps running."""
    tasks = TINY_DUE if session.is_tiny else DUE
    before = await histories.last(deployment)
    await client.create_many([duetime_client.NewTask("noop", _PAST, _DATA)] * tasks)
    await deployment.execute("CHECKPOINT")
    await deployment.start_workers(1)
    await waiting.until_completed(deployment, tasks, after=before)
    await histories.verify(deployment, tasks=tasks, after=before)
    return (await histories.span(deployment, after=before)).rate


async def _lateness(
    session: harness.Session, deployment: harness.Deployment, client: duetime_client.AsyncClient
) -> tuple[list[float], float]:
    """Returns the lateness of evenly spaced tasks in ms, by the log, and Valkey's memory in MB before they are due."""
    tasks = RATE * (TINY_LATE_SECONDS if session.is_tiny else LATE_SECONDS)
    before = await histories.last(deployment)
    await deployment.execute("CHECKPOINT")
    first = waiting.due_after_creating(tasks)
    moments = [first + datetime.timedelta(seconds=number / RATE) for number in range(tasks)]
    await client.create_many([duetime_client.NewTask("noop", moment, _DATA) for moment in moments])
    armed = await _valkey_megabytes(deployment)
    await waiting.until(first)
    await asyncio.sleep(tasks / RATE)  # polling meanwhile would disturb the measurement
    await waiting.until_completed(deployment, tasks, after=before)
    await histories.verify(deployment, tasks=tasks, after=before)
    return await histories.lateness(deployment, after=before), armed


async def _valkey_megabytes(deployment: harness.Deployment) -> float:
    async with redis.asyncio.Redis.from_url(deployment.redis_url) as connection:
        return float((await connection.info("memory"))["used_memory"]) / 1e6
