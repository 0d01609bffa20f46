"""The reference pgqueuer: a deployment on a database of its own, and results read from its log."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import psycopg.rows

from bench import harness, histories, reference

_POLL_SECONDS = 0.5

# Its log rows have their transaction's timestamp, as Duetime's: a job is `picked` when the claiming statement begins,
# and `successful` when the completing statement begins.
_SPAN = """
SELECT count(DISTINCT job_id) AS tasks,
    extract(epoch FROM max(created) FILTER (WHERE status = 'successful')
        - min(created) FILTER (WHERE status = 'picked'))::float8 AS seconds
FROM pgqueuer_log
"""
_LATEST = """
SELECT extract(epoch FROM max(created))::float8 AS moment FROM pgqueuer_log WHERE status = %s::pgqueuer_status
"""
_WRONG = """
SELECT count(*) FROM (
    SELECT array_agg(status::text ORDER BY id) AS statuses FROM pgqueuer_log GROUP BY job_id
) AS histories
WHERE statuses <> ARRAY['queued', 'picked', 'successful']
"""
_SUCCESSFUL = "SELECT count(DISTINCT job_id) FROM pgqueuer_log WHERE status = 'successful'"
_LEFT = "SELECT count(*) FROM pgqueuer"


class Deployment:
    """pgqueuer on an empty database."""

    def __init__(self, programs: reference.Reference, database_url: str) -> None:
        self._programs = programs
        self._database_url = database_url
        self._workers: list[asyncio.subprocess.Process] = []

    async def enqueue(self, jobs: int, *, due: datetime.datetime | None = None) -> datetime.datetime:
        """Enqueues jobs that are all due at about that time, or at once, and returns the exact time.

        pgqueuer takes a delay from the start of the statement, and the enqueuing program must start before that.
        """
        seconds = 0.0 if due is None else (due - datetime.datetime.now(datetime.UTC)).total_seconds()
        answer = await self._programs.run("enqueue", self._database_url, jobs, seconds)
        return datetime.datetime.fromtimestamp(answer["due"], datetime.UTC)

    async def analyze(self) -> None:
        """Updates PostgreSQL's statistics, as autovacuum does within a minute."""
        await self._execute("VACUUM ANALYZE")

    async def start_workers(self, count: int, *, batch_size: int = 100) -> None:
        """Starts workers, and returns once they are connected."""
        starting = (self._programs.start("worker", self._database_url, batch_size) for _ in range(count))
        self._workers += await asyncio.gather(*starting)

    async def until_done(self, jobs: int, *, seconds: float = 300) -> None:
        """Returns once no job is left, and fails unless exactly `jobs` jobs were each picked and successful once."""
        async with asyncio.timeout(seconds):
            while True:
                if not (await self._query(_LEFT))[0]["count"]:
                    break
                await asyncio.sleep(_POLL_SECONDS)
        (wrong,), (successful,) = await self._query(_WRONG), await self._query(_SUCCESSFUL)
        if wrong["count"] or successful["count"] != jobs:
            raise AssertionError(
                f"{successful['count']} of {jobs} jobs were successful; {wrong['count']} histories are wrong"
            )

    async def span(self) -> histories.Span:
        """Returns the span from the first job picked to the last one successful."""
        (row,) = await self._query(_SPAN)
        return histories.Span(row["tasks"], row["seconds"])

    async def latest(self, status: str) -> float:
        """Returns when the last job reached this status, in seconds since the epoch."""
        (row,) = await self._query(_LATEST, [status])
        moment: float = row["moment"]
        return moment

    async def close(self) -> None:
        """Kills its workers."""
        for worker in self._workers:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()

    async def _query(self, statement: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        async with await self._connect() as connection:
            return await (await connection.execute(statement.encode(), parameters)).fetchall()

    async def _execute(self, statement: str) -> None:
        async with await self._connect() as connection:
            await connection.execute(statement.encode())

    async def _connect(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        return await psycopg.AsyncConnection.connect(
            self._database_url, autocommit=True, row_factory=psycopg.rows.dict_row
        )


@contextlib.asynccontextmanager
async def deploy(session: harness.Session, programs: reference.Reference) -> AsyncIterator[Deployment]:
    """Installs pgqueuer in an empty database of the session. The programs' environment must be installed."""
    database_url = await session.empty_database()
    await programs.run("install", database_url)
    deployment = Deployment(programs, database_url)
    try:
        yield deployment
    finally:
        await deployment.close()
