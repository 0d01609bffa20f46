"""A PostgreSQL of the test's own, which it may kill."""

import asyncio
import itertools
import os
import pathlib
import pwd

import psutil
import psycopg

from duetime_core import database, migrate
from duetime_stack import postgres
from tests import processes

_TEMPLATE = "template_duetime"


class Cluster:
    """The stack's PostgreSQL, on a port of its own."""

    def __init__(self, data: pathlib.Path) -> None:
        self._data = data
        self.port = processes.free_port()
        self._program = postgres.make_program(data, self.port)
        self._process: processes.Process | None = None
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Starts it, on the data that is there, and returns once it takes connections."""
        await asyncio.to_thread(postgres.prepare, self._data)
        user = self._program.user
        rights = {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        self._process = await processes.launch(
            *self._program.command, environment=dict(os.environ), cwd=str(self._data), **rights
        )
        await self._process.wait_for_log("database system is ready to accept connections", seconds=60)

    async def kill(self) -> None:
        """Kills all of its processes at once, as the loss of its machine would."""
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        for victim in (postmaster, *postmaster.children()):
            victim.kill()
        await self._process.ended()

    async def stop(self) -> None:
        """Stops it in a hurry, if it runs."""
        if self._process is not None and self._process.process.returncode is None:
            self._process.process.send_signal(2)
            await self._process.ended()

    def url(self, name: str, *, port: int | None = None) -> str:
        """Returns the address of one of its databases, through another port if one is given."""
        return f"postgresql://{postgres.USER}@127.0.0.1:{port or self.port}/{name}?sslmode=disable&gssencmode=disable"

    async def new_database(self) -> str:
        """Makes a migrated database without tasks and returns its name."""
        name = f"chaos_{next(self._numbers)}"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return name

    async def make_template(self) -> None:
        """Makes the migrated database that others are copied from."""
        await self._execute(f"CREATE DATABASE {_TEMPLATE}")
        engine = database.connect(self.url(_TEMPLATE), pool_size=1)
        await migrate.upgrade(engine)
        await engine.dispose()

    async def _execute(self, statement: str) -> None:
        async with await psycopg.AsyncConnection.connect(self.url("postgres"), autocommit=True) as connection:
            await connection.execute(statement)
