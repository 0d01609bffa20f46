"""A scenario: a world under load, with faults, and the checker's verdict."""

import asyncio
import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import psycopg.rows

from tests.chaos import checker, clock, cluster, evidence, rules_of_watches, watchers, workload, world
from tests.support import rows

_SETTLE_SECONDS = 90
_POLL_SECONDS = 0.25

# A task may wait for a time that was set while the database's clock was ahead, by more than that.
_UNFINISHED = f"""
SELECT count(*) AS count FROM {rows.ALL} AS tasks
WHERE status = 'running' OR status = 'pending' AND execution_time < now() + interval '100 seconds'
"""
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
    failover: evidence.Failover | None = None
    """The one that was played."""
    intervals: evidence.Intervals = dataclasses.field(default_factory=dict)
    """Of schedules whose rule was changed."""

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
            schedules = await evidence.read_schedules(connection, self.intervals)
            await self.load.watchers.wait_for(
                lambda seen: {
                    watchers.Event(log.task_id, log.version, log.status, log.timestamp)
                    for log in rules_of_watches.expected(logs, seen, self.began)
                }
            )
            await self.load.watchers.close()
            offset = self.began.both(await clock.measure(connection))
            if self.world.clock_steps:
                offset = clock.Stepped(
                    offset.seconds, offset.error, self.world.began, clock.now(), tuple(self.world.clock_steps)
                )
        self.load.history.write(self.world.directory / "calls")
        (self.world.directory / "seen").write_text("\n".join(map(repr, self.load.watchers.seen)))
        (self.world.directory / "schedules").write_text("\n".join(map(repr, schedules)))
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
            failover=self.failover,
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
    **load: Any,
) -> AsyncIterator[Scenario]:
    """Creates a world with servers behind Envoy, workers, and clients that make no calls yet; `load` is theirs."""
    made = await world.make(directory, postgres, wrapper=wrapper)
    try:
        await asyncio.gather(made.start_servers(servers), made.start_workers(workers))
        await made.start_edge()
        async with await made.connect() as connection:
            began = await clock.measure(connection)
        yield Scenario(made, workload.Workload(made.target, seed=seed, **load), began, seed)
    finally:
        await made.close()
