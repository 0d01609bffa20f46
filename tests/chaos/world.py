"""The world of a test, into which faults are injected: its own PostgreSQL, Valkey, Envoy, servers and workers.

It records what was done to each process, so that the checker knows what a fault explains.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import os
import pathlib
import signal
import tempfile
import types
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

import psycopg
import psycopg.rows

from duetime_stack import edge, layout, sockets, valkey, waiting
from tests.chaos import clock, cluster, fake_clock, proxy
from tests.support import processes

QUEUES = ("default", "second")
LEASE_SECONDS = 4
SWEEP_SECONDS = 1


@dataclasses.dataclass
class Incident:
    """Something that was done to a process, by the observations' clock."""

    what: str
    """`killed`, `terminated` or `paused`; for all processes, `outage` of the database, `cut`: connections to it are
    repeatedly broken, or `silenced`: the open ones fell silent at that moment."""
    pid: int
    since: float
    until: float


@dataclasses.dataclass
class World:
    """All parts of one test. Proxies forward connections to PostgreSQL and Redis."""

    directory: pathlib.Path
    postgres: cluster.Cluster
    database: str
    starter: processes.Starter
    database_proxy: proxy.Proxy
    redis_path: pathlib.Path
    redis_proxy: proxy.Proxy
    edge_port: int
    paths: layout.Layout
    servers: list[processes.Process] = dataclasses.field(default_factory=list)
    workers: list[processes.Process] = dataclasses.field(default_factory=list)
    incidents: list[Incident] = dataclasses.field(default_factory=list)
    began: float = dataclasses.field(default_factory=clock.now)
    clock_steps: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    """Right before when the database's clock was set, and how many seconds ahead."""
    _numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)
    _redis: processes.Process | None = None
    _edge: processes.Process | None = None

    @property
    def target(self) -> str:
        """The address for callers: Envoy's `host:port`."""
        return f"127.0.0.1:{self.edge_port}"

    async def start_servers(self, count: int) -> None:
        """Starts servers, and adds them to Envoy's endpoints."""
        self.servers += await asyncio.gather(*(self.starter.server(address=self._new_address()) for _ in range(count)))
        edge.write_endpoints(self.paths, self._addresses())

    async def start_workers(
        self, count: int, *, variables: Mapping[str, str] = types.MappingProxyType({}), **settings: object
    ) -> None:
        """Starts workers with the world's lease, unless `settings` override it."""
        starting = (self.start_worker(variables=variables, **settings) for _ in range(count))
        self.workers += await asyncio.gather(*starting)

    async def start_worker(
        self, *, variables: Mapping[str, str] = types.MappingProxyType({}), **settings: object
    ) -> processes.Process:
        """Starts a worker that is not in `workers`."""
        chosen = {
            "lease": f"PT{LEASE_SECONDS}S",
            "grace_period": "PT5S",
            "handlers": "tests.chaos.handlers",
            "queues": ",".join(QUEUES),
            **settings,
        }
        return await self.starter.worker(variables=variables, **chosen)

    async def kill_worker(self, number: int) -> processes.Process:
        """Kills a worker at once and returns it."""
        worker = self.workers.pop(number)
        self.note("killed", worker)
        await worker.kill()
        return worker

    async def terminate_worker(self, number: int) -> processes.Process:
        """Terminates a worker and returns it once it has ended."""
        worker = self.workers.pop(number)
        self.note("terminated", worker)
        worker.terminate()
        assert await worker.ended() == 0
        return worker

    async def pause_worker(self, number: int, *, seconds: float) -> None:
        """Suspends a worker for a while, like a machine that swaps or is migrated."""
        worker = self.workers[number]
        incident = self.note("paused", worker)
        incident.until = incident.since + seconds
        worker.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        worker.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def stopped_briefly(self, number: int) -> Iterator[None]:
        """Suspends a worker during the block: for less than its lease, so that it explains nothing."""
        process = self.workers[number].process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    async def kill_server(self, number: int) -> None:
        """Kills a server at once; another one replaces it at its address."""
        server = self.servers.pop(number)
        self.note("killed", server)
        await server.kill()
        self.servers.append(await self.starter.server(address=server.address))

    def require_all_alive(self) -> None:
        """Fails if a server or worker ended by itself."""
        for process in (*self.servers, *self.workers):
            assert process.process.returncode is None, "\n".join(process.log[-20:])

    async def crash_server(self, point: str) -> None:
        """Starts one more server, which ends itself at that point, and returns once it has."""
        server = await self.starter.server(address=self._new_address(), crash_point=point)
        edge.write_endpoints(self.paths, [*self._addresses(), server.address])
        await server.ended()
        edge.write_endpoints(self.paths, self._addresses())

    async def crash_worker(self, point: str) -> None:
        """Starts one more worker, which ends itself at that point, and returns once it has."""
        worker = await self.start_worker(crash_point=point)
        incident = self.note("killed", worker)  # from now on, because the moment is not known
        await worker.ended()
        incident.until = clock.now()

    async def start_redis(self) -> None:
        """Starts an empty Redis, at the same socket each time."""
        command = valkey.make_program(self.redis_path).command
        self._redis = await processes.launch(*command, environment=dict(os.environ))
        await self._redis.wait_for_log("Ready to accept connections")

    async def kill_redis(self) -> None:
        """Kills Redis at once, with all its data."""
        assert self._redis is not None
        await self._redis.kill()

    async def start_edge(self) -> None:
        """Starts Envoy, on the same port each time."""
        program = edge.make_program(self.paths, "127.0.0.1", self.edge_port, self._addresses())
        *command, _ = program.command
        self._edge = await processes.launch(
            *command, "info", environment=dict(os.environ)
        )  # its log shows that it listens
        await self._edge.wait_for_log("starting workers")
        await asyncio.to_thread(waiting.until, program.is_ready, "Envoy", limit_seconds=processes.START_SECONDS)

    async def kill_edge(self) -> None:
        """Kills Envoy at once."""
        assert self._edge is not None
        await self._edge.kill()

    @contextlib.asynccontextmanager
    async def outage(self, what: str = "outage") -> AsyncIterator[None]:
        """Records that the database is unavailable, or that connections to it are `cut`, during the block."""
        incident = self.note(what)
        incident.until = float("inf")
        yield
        incident.until = clock.now()

    def note(self, what: str, process: processes.Process | None = None) -> Incident:
        """Records what is done to a process, or to all."""
        now = clock.now()
        incident = Incident(what, process.pid if process else 0, now, now)
        self.incidents.append(incident)
        return incident

    async def connect(self) -> psycopg.AsyncConnection[psycopg.rows.DictRow]:
        """Opens a connection of the test itself, which bypasses the proxy."""
        return await self.postgres.connect(self.database)

    def set_clock(self, ahead_seconds: float) -> None:
        """Sets the clock of a PostgreSQL that was started with an own one."""
        self.clock_steps.append((clock.now(), ahead_seconds))
        self.postgres.set_clock(ahead_seconds)

    def wrong_clock(self, ahead_seconds: float) -> dict[str, str]:
        """Returns the environment variables that give a process a clock of its own, which is so far ahead."""
        own = pathlib.Path(tempfile.mkdtemp(dir=self.directory))
        return fake_clock.FakeClock(own, ahead_seconds=ahead_seconds).variables

    async def close(self) -> None:
        """Ends every process of the world except PostgreSQL, which tests share."""
        await self.starter.kill_all()
        for process in (self._edge, self._redis):
            if process is not None and process.process.returncode is None:
                await process.kill()
        await self.database_proxy.cut()
        await self.redis_proxy.cut()

    def _addresses(self) -> list[str]:
        return [server.address for server in self.servers]

    def _new_address(self) -> str:
        return f"unix:{sockets.Sockets(self.paths.run).server(next(self._numbers))}"


async def make(
    directory: pathlib.Path, postgres: cluster.Cluster, *, wrapper: Sequence[str] = (), database: str = ""
) -> World:
    """Creates a world with Redis, both proxies and a database (by default a new one), without servers and workers."""
    await postgres.ensure_running()
    database = database or await postgres.new_database()
    paths = layout.Layout(directory)
    paths.create()
    redis_path = sockets.Sockets(paths.run).valkey
    database_proxy = proxy.Proxy(postgres.socket)
    redis_proxy = proxy.Proxy(redis_path)
    await database_proxy.start()
    await redis_proxy.start()
    starter = processes.Starter(
        directory,
        database_url=postgres.application_url(database, port=database_proxy.port),
        redis_url=f"redis://127.0.0.1:{redis_proxy.port}/0",
        wrapper=wrapper,
    )
    edge_port = processes.free_port()
    made = World(directory, postgres, database, starter, database_proxy, redis_path, redis_proxy, edge_port, paths)
    await made.start_redis()
    return made
