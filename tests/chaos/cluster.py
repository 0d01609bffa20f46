"""A PostgreSQL of the tests, which they may kill."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import sys

import psutil
import psycopg
import psycopg.rows

from duetime_core import migrate
from duetime_core.postgres import database
from duetime_stack import pgdata, postgres, program, roles
from tests.chaos import clock, fake_clock
from tests.support import processes, users

_POLL_SECONDS = 0.05
_TEMPLATE = "template_duetime"
_HBA = f"""\
local all,replication {roles.SUPERUSER} trust
{roles.HBA}"""
"""The stack's, and the superuser, at a socket that only its user and root reach."""


class Cluster:
    """The stack's PostgreSQL in its own directory, which its user creates if the tests run as root."""

    def __init__(self, directory: pathlib.Path, *, has_own_clock: bool = False) -> None:
        self._directory = directory
        self.has_own_clock = has_own_clock
        self._clock: fake_clock.FakeClock | None = None
        self._data = directory / "postgres"
        self._program = postgres.make_program(self._data, directory)
        self._process: processes.Process | None = None
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Starts it with its existing data, and returns once it accepts connections."""
        users.make_directory(self._directory)
        prepare = (sys.executable, "-m", "tests.chaos.prepare", str(self._data), str(self._directory))
        await _run(*users.become(), *prepare)
        rules = self._directory / "pg_hba.conf"
        rules.write_text(_HBA)
        # Commits are flushed all the same. What rolled back is lost with the next crash, instead of with most.
        settings = ("-c", f"hba_file={rules}", "-c", "wal_writer_delay=10s")
        command = [*self._with_own_clock(), *self._program.command, *settings]
        command = [*users.become(), *program.bound_to_parent(command, "KILL")]
        self._process = await processes.launch(*command, environment=dict(os.environ), cwd=str(self._directory))
        await self._process.wait_for_log("database system is ready to accept", seconds=60)

    def _with_own_clock(self) -> list[str]:
        """Returns a prefix of the command. Programs of root would make semaphores that its user cannot use."""
        if not self.has_own_clock:
            return []
        self._clock = self._clock or fake_clock.FakeClock(self._directory)
        self._clock.set(0)
        return ["env", *(f"{name}={value}" for name, value in self._clock.variables.items())]

    @property
    def socket(self) -> pathlib.Path:
        """The path of its socket."""
        return self._directory / ".s.PGSQL.5432"

    @property
    def pid(self) -> int:
        """The id of its postmaster."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> list[str]:
        """What it logged since its last start."""
        assert self._process is not None
        return self._process.log

    def freeze(self) -> None:
        """Suspends all of its processes: connections stay open without responses."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # one that was short-lived
                process.suspend()

    def thaw(self) -> None:
        """Resumes them."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # one that was short-lived
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        return [postmaster, *postmaster.children()]

    async def kill(self) -> None:
        """Kills all of its processes at once, as the loss of its machine would."""
        assert self._process is not None
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # one that was short-lived
                process.kill()
        await self._process.ended()

    async def stop(self) -> None:
        """Stops it by a fast shutdown, if it runs."""
        if self._process is not None and self._process.process.returncode is None:
            self._process.process.send_signal(2)
            await self._process.ended()

    async def ensure_running(self) -> bool:
        """Starts it if it has ended, or resumes it; returns whether it had ended."""
        assert self._process is not None
        has_ended = self._process.process.returncode is not None
        if has_ended:
            await self.start()
        else:
            self.thaw()
        return has_ended

    def set_clock(self, ahead_seconds: float) -> None:
        """Sets the clock of all its processes, if it has its own, to that many seconds ahead."""
        assert self._clock is not None
        self._clock.set(ahead_seconds)

    async def make_standby(self, directory: pathlib.Path) -> "Cluster":
        """Copies it into a directory, and starts the copy as its standby."""
        users.make_directory(directory)
        standby = Cluster(directory)
        options = ("-h", str(self._directory), "-U", roles.SUPERUSER, "--write-recovery-conf", "--no-sync")
        program_path = str(pgdata.program_path("pg_basebackup"))
        await _run(*users.become(), program_path, "-D", str(standby._data), "--checkpoint=fast", *options)
        await standby.start()
        return standby

    async def promote(self) -> None:
        """Makes the standby a primary."""
        await _run(*users.become(), str(pgdata.program_path("pg_ctl")), "promote", "--wait", "-D", str(self._data))

    async def set(self, name: str, value: str, *, until: str) -> None:
        """Changes a setting while it runs, and returns once a query is true. As the superuser."""
        url = f"postgresql://{roles.SUPERUSER}@/postgres?host={self._directory}"
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            await connection.execute("SELECT pg_reload_conf()")
            while True:
                if await (await connection.execute(until)).fetchone() == (True,):
                    return
                await asyncio.sleep(_POLL_SECONDS)

    def fill_disk(self) -> pathlib.Path:
        """Fills its disk with a file, and returns the path."""
        ballast = self._directory / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
        return ballast

    def url(self, name: str) -> str:
        """Returns the URL of a database for its owner."""
        return self._url(roles.OWNER, name)

    def application_url(self, name: str, *, port: int | None = None) -> str:
        """Returns the URL of a database for servers and workers, through the proxy at `port` if given."""
        return self._url(roles.APPLICATION, name, port)

    def _url(self, role: str, name: str, port: int | None = None) -> str:
        login = f"{role}:{roles.passwords(self._data)[role]}"
        if port is None:
            return f"postgresql://{login}@/{name}?host={self._directory}"
        return f"postgresql://{login}@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"

    async def connect(self, name: str) -> psycopg.AsyncConnection[psycopg.rows.DictRow]:
        """Opens a connection of the test itself to a database."""
        return await psycopg.AsyncConnection.connect(self.url(name), autocommit=True, row_factory=psycopg.rows.dict_row)

    async def new_database(self) -> str:
        """Creates a migrated database without tasks and returns its name."""
        name = f"chaos_{next(self._numbers)}"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return name

    async def dump(self, name: str, path: pathlib.Path) -> tuple[float, float]:
        """Dumps a database as docs/backup.md describes; returns two moments between which its snapshot was taken."""
        async with await psycopg.AsyncConnection.connect(self.url(name)) as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            before = clock.now()
            exported = await (await connection.execute("SELECT pg_export_snapshot()")).fetchone()
            after = clock.now()
            assert exported is not None
            options = (f"--snapshot={exported[0]}", "--format=custom", f"--file={path}")
            await _run(str(pgdata.program_path("pg_dump")), *options, self.url(name))
        return before, after

    async def restore(self, path: pathlib.Path) -> str:
        """Restores a dump into a new database as docs/backup.md describes, and returns its name."""
        name = f"chaos_{next(self._numbers)}"
        await self._execute(f"CREATE DATABASE {name}")
        without = ("--exit-on-error", "--no-owner", "--no-privileges")
        await _run(str(pgdata.program_path("pg_restore")), *without, f"--dbname={self.url(name)}", str(path))
        await self._migrate(name)
        return name

    async def make_template(self) -> None:
        """Creates the migrated template database."""
        await self._execute(f"CREATE DATABASE {_TEMPLATE}")
        await self._migrate(_TEMPLATE)

    async def _migrate(self, name: str) -> None:
        engine = database.connect(self.url(name), pool_size=1)
        await migrate.upgrade(engine, application_role=roles.APPLICATION)
        await engine.dispose()

    async def _execute(self, statement: str) -> None:
        async with await psycopg.AsyncConnection.connect(self.url("postgres"), autocommit=True) as connection:
            await connection.execute(statement)


async def _run(*command: str) -> None:
    process = await processes.launch(*command, environment=dict(os.environ))
    assert await process.ended() == 0, process.log
