"""A scenario: a world under load, with faults, and the checker's verdict."""

import asyncio
import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Sequence

import psycopg
import psycopg.rows

from tests.chaos import checker, clock, cluster, evidence, workload, world
from tests.support import rows

_SETTLE_SECONDS = 90
_POLL_SECONDS = 0.25

_UNFINISHED = f"SELECT count(*) AS count FROM {rows.ALL} AS tasks WHERE status IN ('pending', 'running')"
_OVERDUE = f"""
SELECT extract(epoch FROM now() - min(lease_expires_at))::float8 AS seconds
FROM {rows.ALL} AS tasks WHERE status = 'running'
"""
_REQUEST_IDS = f"SELECT request_id FROM {rows.ALL} AS tasks WHERE request_id IS NOT NULL"


@dataclasses.dataclass
class Scenario:
    """A world and its clients."""

    world: world.World
    load: workload.Workload
    began: clock.Offset
    seed: int

    async def ended(self, *, seconds: float) -> None:
        """Waits until no task is pending or running."""
        async with asyncio.timeout(seconds), await self.world.connect() as connection:
            while True:
                if await _has_ended(connection):
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def settled(self, *, seconds: float = _SETTLE_SECONDS) -> evidence.Evidence:
        """Returns the evidence, after every fault is over and every task has ended, or `seconds` have passed."""
        healed = clock.now()
        async with await self.world.connect() as connection:
            known = frozenset(row["request_id"] for row in await (await connection.execute(_REQUEST_IDS)).fetchall())
            await self.load.retry_unknown()
            overdue = []
            while clock.now() < healed + seconds:
                row = await (await connection.execute(_OVERDUE)).fetchone()
                if row is not None and row["seconds"] is not None:
                    overdue.append(evidence.Overdue(clock.now(), row["seconds"]))
                if await _has_ended(connection):
                    break
                await asyncio.sleep(_POLL_SECONDS)
            rows, logs = await evidence.read_tables(connection)
            schedules = await evidence.read_schedules(connection)
            await self.load.watchers.wait_for(sum(map(len, logs.values())))
            await self.load.watchers.close()
            offset = self.began.both(await clock.measure(connection))
        self.load.history.write(self.world.directory / "calls")
        return evidence.Evidence(
            calls=self.load.history.calls,
            runs=evidence.read_runs(self.world.directory),
            rows=rows,
            logs=logs,
            seen=self.load.watchers.seen,
            incidents=self.world.incidents,
            offset=offset,
            healed=healed,
            lease_seconds=world.LEASE_SECONDS,
            sweep_seconds=world.SWEEP_SECONDS,
            overdue=overdue,
            schedules=schedules,
            known_before_retries=known,
        )

    def require_sound(self, found: evidence.Evidence, *, least_runs: int = 100) -> None:
        """Fails if a rule is broken, with the violations and the seed, or if there were too few runs."""
        assert len(found.runs) >= least_runs
        violations = checker.check(found)
        assert not violations, (
            f"seed {self.seed}; the calls are in {self.world.directory / 'calls'}\n{checker.report(violations)}"
        )


async def _has_ended(connection: psycopg.AsyncConnection[psycopg.rows.DictRow]) -> bool:
    row = await (await connection.execute(_UNFINISHED)).fetchone()
    return row is not None and row["count"] == 0


@contextlib.asynccontextmanager
async def playing(
    directory: pathlib.Path,
    postgres: cluster.Cluster,
    *,
    seed: int,
    wrapper: Sequence[str] = (),
    servers: int = 2,
    workers: int = 2,
    clients: int = 4,
) -> AsyncIterator[Scenario]:
    """Creates a world with servers behind Envoy, workers, and clients that make no calls yet."""
    made = await world.make(directory, postgres, wrapper=wrapper)
    try:
        await asyncio.gather(made.start_servers(servers), made.start_workers(workers))
        await made.start_edge()
        async with await made.connect() as connection:
            began = await clock.measure(connection)
        yield Scenario(made, workload.Workload(made.target, seed=seed, clients=clients), began, seed)
    finally:
        await made.close()
