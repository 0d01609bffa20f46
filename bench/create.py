"""Create: how many tasks per second one server creates and commits, one by one and in batches.

Single creates come over gRPC from one process with 50 calls in flight, and over REST from wrk with 50 connections.

The references insert and commit one row per request, as is usual: grpc.aio and FastAPI, each one process with
SQLAlchemy's ORM and asyncpg. Duetime's REST requests pass through Envoy; FastAPI's do not.

These creates have no request_id, which Duetime's own client always sends, and which costs one more index entry. `scale`
measures creates through the client.
"""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

import psycopg

from bench import harness, load, load_create, reference, report, wrk
from tests.support import processes

IN_FLIGHT = 50
BATCH = 1_000
BATCHES_IN_FLIGHT = (1, 2, 4)
WARM_UP_SECONDS, SECONDS = 1.0, 5.0
TINY_WARM_UP_SECONDS, TINY_SECONDS = 0.2, 0.5

GRPC_GOAL = report.Goal(2, 4)
REST_GOAL = report.Goal(2.5, 5)
BATCH_GOAL = report.Goal(20_000, 35_000)

_BODY = {"name": "noop", "execution_time": load_create.DUE.isoformat(), "task_data": load_create.TASK_DATA}


@dataclasses.dataclass(frozen=True)
class Speed:
    """Calls per second, and their latency in milliseconds."""

    rate: float
    p50: float
    p99: float


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures gRPC and REST, each followed by its reference, and batches."""
    wrk.require()
    grpc_reference = reference.Reference("grpc_sqlalchemy")
    rest_reference = reference.Reference("fastapi_sqlalchemy")
    for each in (grpc_reference, rest_reference):
        await each.install()
    for _ in range(session.rounds):
        ours = await _grpc(session)
        theirs = await _grpc_reference(session, grpc_reference)
        _add(results, "gRPC", ours, "grpc.aio + SQLAlchemy", theirs, "calls/s", GRPC_GOAL)
        ours = await _rest(session)
        theirs = await _rest_reference(session, rest_reference)
        _add(results, "REST", ours, "FastAPI + SQLAlchemy", theirs, "requests/s", REST_GOAL)
        rates = []
        for in_flight in BATCHES_IN_FLIGHT:
            rates.append(await _batches(session, in_flight))
            results.add(f"batches of {BATCH:,}, {in_flight} in flight", rates[-1], "tasks/s")
        results.add(f"batches of {BATCH:,}, best", max(rates), "tasks/s", goal=BATCH_GOAL)


def _add(
    results: report.Report, what: str, ours: Speed, reference_name: str, theirs: Speed, unit: str, goal: report.Goal
) -> None:
    for name, speed in (("Duetime", ours), (reference_name, theirs)):
        results.add(f"{what}: {name}", speed.rate, unit)
        results.add(f"{what}: {name}, p50", speed.p50, "ms")
        results.add(f"{what}: {name}, p99", speed.p99, "ms")
    results.compare(f"{what}: speed of Duetime relative to {reference_name}", ours.rate, theirs.rate, goal=goal)


async def _grpc(session: harness.Session) -> Speed:
    async with session.deployment() as deployment:
        server = await deployment.start_server()
        return await _call(session, server.address, deployment.database_url)


async def _grpc_reference(session: harness.Session, program: reference.Reference) -> Speed:
    async with _serving(session, program) as (address, database_url):
        return await _call(session, address, database_url)


async def _call(session: harness.Session, address: str, database_url: str) -> Speed:
    async with load.started("load_create", address, "--in-flight", IN_FLIGHT, *_seconds(session)) as calls:
        measured = await calls.result()
    await _require_created(database_url, at_least=measured["tasks"], at_most=measured["tasks"])
    return Speed(measured["rate"], measured["p50"], measured["p99"])


async def _batches(session: harness.Session, in_flight: int) -> float:
    async with session.deployment() as deployment:
        server = await deployment.start_server()
        arguments = ("--in-flight", in_flight, "--batch", BATCH, *_seconds(session))
        async with load.started("load_create", server.address, *arguments) as calls:
            measured = await calls.result()
        await _require_created(deployment.database_url, at_least=measured["tasks"], at_most=measured["tasks"])
        rate: float = BATCH * measured["rate"]
        return rate


async def _rest(session: harness.Session) -> Speed:
    async with session.deployment() as deployment:
        await deployment.start_server()
        return await _post(session, await deployment.start_edge(), deployment.database_url)


async def _rest_reference(session: harness.Session, program: reference.Reference) -> Speed:
    async with _serving(session, program) as (address, database_url):
        return await _post(session, address, database_url)


async def _post(session: harness.Session, address: str, database_url: str) -> Speed:
    url = f"http://{address}/api/tasks"
    warm_up = await wrk.post(url, _BODY, seconds=TINY_WARM_UP_SECONDS if session.is_tiny else WARM_UP_SECONDS)
    measured = await wrk.post(url, _BODY, seconds=TINY_SECONDS if session.is_tiny else SECONDS)
    answered = warm_up.answered + measured.answered
    # At the end of each run wrk drops the requests in flight, which may be committed but are not counted.
    await _require_created(database_url, at_least=answered, at_most=answered + 2 * wrk.CONNECTIONS)
    return Speed(measured.rate, measured.p50, measured.p99)


def _seconds(session: harness.Session) -> tuple[object, ...]:
    warm_up, seconds = (TINY_WARM_UP_SECONDS, TINY_SECONDS) if session.is_tiny else (WARM_UP_SECONDS, SECONDS)
    return ("--warm-up", warm_up, "--seconds", seconds)


@contextlib.asynccontextmanager
async def _serving(session: harness.Session, program: reference.Reference) -> AsyncIterator[tuple[str, str]]:
    """Runs a reference's server on an empty database, and yields the server's address and the database's URL."""
    database_url = await session.empty_database()
    port = processes.free_port()
    process = await program.start("server", database_url, port)
    try:
        yield f"127.0.0.1:{port}", database_url
    finally:
        process.kill()
        await process.wait()


async def _require_created(database_url: str, *, at_least: int, at_most: int) -> None:
    """Fails unless the number of tasks in the database matches the number of responses."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        found = await (await connection.execute("SELECT count(*) FROM tasks")).fetchone()
    assert found is not None
    if not at_least <= found[0] <= at_most:
        raise AssertionError(f"{found[0]} tasks were created, but {at_least} to {at_most} expected from the responses")
