"""Connections to a database that is unavailable, busy or recovered."""

import asyncio
import pathlib
import socket
import traceback
import uuid

import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import errors
from duetime_core.postgres import connection, database
from duetime_core.store.tasks import read as task_read
from tests.support import factories, primaries, processes, proxies

Engine = sqlalchemy_asyncio.AsyncEngine


async def end_connections(admin: Engine, engine: Engine) -> None:
    """Terminates all connections of `engine`, and waits until they have ended."""
    statement = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = :name"
    async with admin.connect() as connection:
        await connection.execute(sa.text(statement), {"name": engine.url.database})


async def wait_until_asleep(admin: Engine, engine: Engine) -> None:
    """Waits until a statement of `engine` is in pg_sleep."""
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND wait_event = 'PgSleep'"
    async with asyncio.timeout(20), admin.connect() as connection:
        while not (await connection.execute(sa.text(statement), {"name": engine.url.database})).scalar_one():
            pass


async def sleep(engine: Engine) -> None:
    with database.unavailable():
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT pg_sleep(60)"))


async def test_a_database_that_cannot_be_reached_is_unavailable() -> None:
    engine = database.connect(f"postgresql://nobody@127.0.0.1:{processes.free_port()}/nothing")
    with pytest.raises(errors.StoreUnavailable):
        await task_read.get(engine, 1)
    with pytest.raises(errors.StoreUnavailable):
        await migrate.upgrade(engine)
    await engine.dispose()


async def test_a_missing_database_is_unavailable(admin: Engine) -> None:
    engine = database.connect(admin.url.set(database="nowhere").render_as_string(hide_password=False))
    with pytest.raises(errors.StoreUnavailable):
        await task_read.get(engine, 1)
    await engine.dispose()


async def test_a_connection_that_is_lost_in_a_statement_is_unavailable_and_the_next_one_works(
    admin: Engine, engine: Engine
) -> None:
    task_id = await factories.create(engine)
    sleeping = asyncio.create_task(sleep(engine))
    await wait_until_asleep(admin, engine)
    await end_connections(admin, engine)
    with pytest.raises(errors.StoreUnavailable):
        await sleeping
    assert (await task_read.get(engine, task_id)).task_id == task_id


async def test_connections_closed_while_idle_are_replaced_unnoticed(admin: Engine, engine: Engine) -> None:
    task_id = await factories.create(engine)
    await asyncio.gather(*(task_read.get(engine, task_id) for _ in range(10)))
    await end_connections(admin, engine)
    answers = await asyncio.gather(*(task_read.get(engine, task_id) for _ in range(10)))
    assert {answer.task_id for answer in answers} == {task_id}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT CAST(:secret AS text), no_such_function()",
        # PostgreSQL's errors of these quote the row, the value and the JSON.
        "INSERT INTO queues (name, is_paused) VALUES (:secret, NULL)",
        "SELECT CAST('{\"a\": \"' || CAST(:secret AS text) || '\", ' AS jsonb)",
    ],
)
async def test_an_unexpected_error_quotes_neither_parameters_nor_rows(engine: Engine, statement: str) -> None:
    secret = f"Secret{uuid.uuid4()}"
    async with engine.connect() as connection:
        with pytest.raises(sqlalchemy.exc.DBAPIError) as raised:
            await connection.execute(sa.text(statement), {"secret": secret})
    printed = "".join(traceback.format_exception(raised.value))
    assert secret not in printed
    assert "DETAIL" not in printed
    assert type(raised.value.orig).__name__ in str(raised.value)


async def test_a_statement_without_a_free_connection_fails_as_busy(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = database.connect(database_url, pool_size=1)
    monkeypatch.setattr(small.sync_engine.pool, "_timeout", 0.01)
    task_id = await factories.create(engine)
    async with small.connect():
        with pytest.raises(errors.StoreUnavailable, match="All connections to the database are busy"):
            await task_read.get(small, task_id)
    assert (await task_read.get(small, task_id)).task_id == task_id
    await small.dispose()


async def test_a_caller_who_hangs_up_in_a_statement_leaves_the_pool_whole(admin: Engine, database_url: str) -> None:
    small = database.connect(database_url, pool_size=1)
    sleeping = asyncio.create_task(sleep(small))
    await wait_until_asleep(admin, small)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert await factories.create(small) == 1
    await small.dispose()


async def test_a_transaction_is_committed_whole_or_not_at_all(engine: Engine) -> None:
    async def insert_and_fail() -> None:
        async with database.transaction(engine) as connection:
            await connection.execute(sa.text("INSERT INTO alembic_version (version_num) VALUES ('x')"))
            raise LookupError

    with pytest.raises(LookupError):
        await insert_and_fail()
    async with engine.connect() as connection:
        counted = await connection.execute(sa.text("SELECT count(*) FROM alembic_version"))
        assert counted.scalar_one() == 1


async def test_times_are_in_utc_whatever_the_databases_setting(
    admin: Engine, engine: Engine, database_url: str
) -> None:
    async with admin.connect() as connection:
        name = engine.url.database
        await connection.execute(sa.text(f"ALTER DATABASE {name} SET timezone = 'Asia/Kathmandu'"))
    fresh = database.connect(database_url)
    created = await task_read.get(fresh, await factories.create(fresh))
    assert created.created_at.utcoffset() is not None
    assert not created.created_at.utcoffset()
    await fresh.dispose()


async def test_a_database_that_closes_each_connection_as_soon_as_it_is_opened_is_unavailable(
    engine: Engine, database_url: str, short_directory: pathlib.Path
) -> None:
    task_id = await factories.create(engine)
    async with proxies.Proxy(database_url, short_directory) as proxy:
        through = database.connect(proxy.url)
        assert (await task_read.get(through, task_id)).task_id == task_id
        proxy.closes_new = True
        await proxy.close_all()
        for _ in range(3):
            with pytest.raises(errors.StoreUnavailable):
                await task_read.get(through, task_id)
        proxy.closes_new = False
        assert (await task_read.get(through, task_id)).task_id == task_id
        await through.dispose()


async def test_the_database_cancels_a_statement_that_takes_too_long(engine: Engine) -> None:
    async with engine.connect() as connected:
        await connected.execute(sa.text("SET statement_timeout = 1"))
        timeout = pytest.raises(
            errors.StoreUnavailable, match=r"took too long and was cancelled\. Nothing was changed; retry later\."
        )
        with timeout, database.unavailable():
            await connected.execute(sa.text("SELECT pg_sleep(60)"))


async def test_an_unanswered_statement_fails_and_its_connection_is_closed(
    admin: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = database.connect(database_url, pool_size=1)
    task_id = await factories.create(small)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.1)
    with pytest.raises(errors.StoreUnavailable, match=r"did not answer in time. The outcome is unknown"):
        await sleep(small)
    monkeypatch.undo()
    assert (await task_read.get(small, task_id)).task_id == task_id
    await end_connections(admin, small)
    await small.dispose()


async def test_a_statement_in_a_transaction_fails_when_it_is_unanswered(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleep_in_transaction() -> None:
        with database.unavailable():
            async with database.transaction(engine) as connection:
                await connection.execute(sa.text("SELECT pg_sleep(60)"))

    task_id = await factories.create(engine)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.1)
    with pytest.raises(errors.StoreUnavailable, match="did not answer in time"):
        await sleep_in_transaction()
    monkeypatch.undo()
    assert (await task_read.get(engine, task_id)).task_id == task_id


async def test_one_caller_waits_indefinitely_and_the_next_one_does_not(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = database.connect(database_url, pool_size=1)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)  # after `connect`: it is not for opening connections
    async with small.connect() as connected:
        await database.wait_indefinitely(connected)
        await connected.execute(sa.text("SELECT pg_sleep(0.4)"))
    with pytest.raises(errors.StoreUnavailable, match="did not answer in time"):
        await sleep(small)
    await small.dispose()


async def test_a_connection_that_is_read_only_drops_the_whole_pool(engine: Engine) -> None:
    # As the connections are that were made while the address led to a replica.
    async with engine.connect() as first, engine.connect() as second:
        for each in (first, second):
            await each.execute(sa.text("SET default_transaction_read_only = on"))
    read_only = pytest.raises(errors.StoreUnavailable, match=r"is read-only, .* Nothing was changed; retry later")
    with read_only:
        await factories.create(engine)
    await asyncio.gather(*(factories.create(engine) for _ in range(3)))


async def test_a_database_that_is_read_only_is_unavailable_unless_the_url_allows_it(
    admin: Engine, database_url: str
) -> None:
    name = sa.make_url(database_url).database
    reading = database.connect(f"{database_url}&target_session_attrs=any")
    writing = database.connect(database_url)
    async with admin.connect() as connection:
        await connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        with pytest.raises(errors.StoreUnavailable):
            await task_read.get(writing, 1)
        with pytest.raises(errors.TaskNotFound):
            await task_read.get(reading, 1)
        await connection.execute(sa.text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    with pytest.raises(errors.TaskNotFound):
        await task_read.get(writing, 1)
    await reading.dispose()
    await writing.dispose()


async def test_of_several_hosts_the_one_that_takes_writes_is_used(
    primary: primaries.Primary, postgres_url: str, admin: Engine
) -> None:
    replica, writable = (str(sa.make_url(url).query["host"]) for url in (primary.url, postgres_url))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, and sends nothing
        hosts, ports = ",".join(("127.0.0.1", replica, writable)), f"{silent.getsockname()[1]},5432,5432"
        engine = database.connect(f"{postgres_url.partition('?')[0]}?host={hosts}&port={ports}")
        await primary.set("default_transaction_read_only", "on")
        async with engine.connect() as connection:
            assert await connection.scalar(sa.text("SHOW unix_socket_directories")) == writable
        await primary.set("default_transaction_read_only", "off")
        await engine.dispose()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u@h/d", {"connect_timeout": 5, "target_session_attrs": "read-write", "tcp_user_timeout": 5_000}),
        ("postgresql://u@/d?host=a,b&port=1,2", {"connect_timeout": 2, "target_session_attrs": "read-write"}),
        ("postgresql://u@/d?host=a:1&host=b:2", {"connect_timeout": 2}),
        (
            "postgresql://u@h/d?connect_timeout=30&keepalives_idle=60&target_session_attrs=any",
            {"connect_timeout": None, "keepalives_idle": None, "target_session_attrs": None, "keepalives_count": 3},
        ),
    ],
)
def test_what_the_url_says_of_the_connection_wins(url: str, expected: dict[str, object]) -> None:
    arguments = database._arguments(sa.make_url(url).set(drivername="postgresql+psycopg"))
    assert {name: arguments.get(name) for name in expected} == expected


async def test_options_of_the_url_are_added_to_ours(database_url: str) -> None:
    engine = database.connect(f"{database_url}&options=-c%20work_mem%3D5MB%20-c%20jit%3Don")
    async with engine.connect() as connection:
        shown = [await connection.scalar(sa.text(f"SHOW {name}")) for name in ("work_mem", "jit", "statement_timeout")]
    assert shown == ["5MB", "on", "8s"]
    await engine.dispose()
