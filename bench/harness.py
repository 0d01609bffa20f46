"""The processes under test: PostgreSQL, Valkey, Envoy, servers and workers, as `make up` runs them."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import psycopg.rows

import duetime_client
from duetime_stack import edge, layout, sockets, valkey
from duetime_stack import waiting as readiness
from duetime_worker import settings as worker_settings
from tests.chaos import cluster
from tests.support import processes

HANDLERS = "bench.handlers"
CONCURRENCY: int = worker_settings.Settings.model_fields["concurrency"].default
"""How many tasks a worker with default settings runs at once."""


class Session:
    """A benchmark session: a PostgreSQL for all rounds, and a deployment with its own database for each round."""

    def __init__(self, directory: pathlib.Path, postgres: cluster.Cluster, *, is_tiny: bool, rounds: int) -> None:
        self.directory = directory
        self.postgres = postgres
        self.is_tiny = is_tiny
        """Whether only to check that the benchmark works."""
        self.rounds = rounds
        self._numbers = itertools.count(1)

    async def empty_database(self) -> str:
        """Creates a database without tables, for a reference, and returns its URL."""
        name = f"reference_{next(self._numbers)}"
        async with await psycopg.AsyncConnection.connect(self.postgres.url("postgres"), autocommit=True) as connection:
            await connection.execute(f"CREATE DATABASE {name}".encode())
        return self.postgres.url(name)

    @contextlib.asynccontextmanager
    async def deployment(self, *, database: str = "") -> AsyncIterator["Deployment"]:
        """Opens a deployment: the given database, or a new one without tasks, and an empty Valkey."""
        database = database or await self.postgres.new_database()
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.directory))
        socket_paths = sockets.Sockets(directory)
        redis = await processes.launch(*valkey.make_program(socket_paths.valkey).command, environment=dict(os.environ))
        redis_url = valkey.url(socket_paths.valkey)
        starter = processes.Starter(
            directory, database_url=self.postgres.application_url(database), redis_url=redis_url
        )
        deployment = Deployment(socket_paths, database, self.postgres.url(database), redis_url, starter)
        deployment.pids |= {"PostgreSQL": self.postgres.pid, "Valkey": redis.pid}
        try:
            await redis.wait_for_log("Ready to accept connections")
            yield deployment
        finally:
            await deployment.close()
            await redis.kill()


class Deployment:
    """A database, a Valkey, servers and workers for one round."""

    def __init__(
        self,
        socket_paths: sockets.Sockets,
        database: str,
        database_url: str,
        redis_url: str,
        starter: processes.Starter,
    ) -> None:
        self.directory = socket_paths.directory
        self.database = database
        self.database_url = database_url
        """The URL for the database's owner; servers and workers connect with another role."""
        self.redis_url = redis_url
        self.servers: list[processes.Process] = []
        self.workers: list[processes.Process] = []
        self.pids: dict[str, int] = {}
        """The process ids of PostgreSQL, Valkey and, once started, Envoy."""
        self._socket_paths = socket_paths
        self._starter = starter
        self._edge: processes.Process | None = None

    async def start_server(self) -> processes.Process:
        """Starts a server and returns it once it serves."""
        server = await self._starter.server(address=f"unix:{self._socket_paths.server(len(self.servers))}")
        self.servers.append(server)
        return server

    async def start_workers(self, count: int, **settings: object) -> None:
        """Starts workers with the benchmarks' handlers, and default settings except for those given."""
        settings.setdefault("handlers", HANDLERS)
        starting = (self._starter.worker(variables={}, **settings) for _ in range(count))
        self.workers += await asyncio.gather(*starting)

    async def stop_workers(self) -> None:
        """Stops all workers."""
        workers, self.workers = self.workers, []
        for worker in workers:
            worker.terminate()
        await asyncio.gather(*(worker.ended() for worker in workers))

    async def start_edge(self) -> str:
        """Starts Envoy in front of the running servers, and returns its `host:port`."""
        paths = layout.Layout(self.directory)
        paths.create()
        port = processes.free_port()
        program = edge.make_program(paths, "127.0.0.1", port, [server.address for server in self.servers])
        *command, _ = program.command
        self._edge = await processes.launch(*command, "info", environment=dict(os.environ))
        self.pids["Envoy"] = self._edge.pid
        await self._edge.wait_for_log("starting workers")
        await asyncio.to_thread(readiness.until, program.is_ready, "Envoy", limit_seconds=processes.START_SECONDS)
        return f"127.0.0.1:{port}"

    async def client(self) -> duetime_client.AsyncClient:
        """Returns a client of the first server, starting one if there is none."""
        server = self.servers[0] if self.servers else await self.start_server()
        return duetime_client.AsyncClient(server.address)

    async def query(self, statement: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Queries the database directly, to measure and to verify."""
        async with await psycopg.AsyncConnection.connect(
            self.database_url, autocommit=True, row_factory=psycopg.rows.dict_row
        ) as connection:
            return await (await connection.execute(statement.encode(), parameters)).fetchall()

    async def execute(self, *statements: str) -> None:
        """Changes the database directly, each statement in its own transaction."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            for statement in statements:
                await connection.execute(statement.encode())

    async def analyze(self) -> None:
        """Updates PostgreSQL's statistics, as autovacuum does within a minute."""
        await self.execute("VACUUM ANALYZE")

    async def close(self) -> None:
        """Kills its processes."""
        await self._starter.kill_all()
        if self._edge is not None:
            await self._edge.kill()


@contextlib.asynccontextmanager
async def open_session(*, is_tiny: bool, rounds: int) -> AsyncIterator[Session]:
    """Opens a session in a temporary directory, and removes it at the end."""
    with tempfile.TemporaryDirectory(prefix="duetime-bench-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)  # noqa: ASYNC240 - nothing else runs; PostgreSQL runs as another user if this is root
        postgres = cluster.Cluster(directory / "postgres")
        await postgres.start()
        try:
            await postgres.make_template()
            yield Session(directory, postgres, is_tiny=is_tiny, rounds=rounds)
        finally:
            await postgres.stop()
