"""Positions over crashes and failovers of real PostgreSQL servers: what is not refused is read without a gap."""

import contextlib
import itertools
import pathlib
from collections.abc import AsyncIterator, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import errors
from duetime_core.model.snapshot import Position
from duetime_core.postgres import database
from duetime_core.store.log import feed, marks
from duetime_core.store.tasks import create as task_create
from tests.support import factories, feeds, postgres

Engine = sqlalchemy_asyncio.AsyncEngine
_numbers = itertools.count()


@pytest.fixture
def servers() -> Iterator[list[postgres.Postgres]]:
    """The servers of a test, which are killed after it."""
    started: list[postgres.Postgres] = []
    yield started
    for server in started:
        server.kill()


@contextlib.asynccontextmanager
async def connected(server: postgres.Postgres) -> AsyncIterator[Engine]:
    # A replica too, as a session that was opened to a primary before that became one.
    engine = database.connect(f"{server.url}&target_session_attrs=any", pool_size=3)
    try:
        yield engine
    finally:
        await engine.dispose()


async def started(servers: list[postgres.Postgres], short_directory: pathlib.Path) -> postgres.Postgres:
    """Starts a server with a migrated database."""
    server = postgres.Postgres(short_directory / f"history-{next(_numbers)}")
    servers.append(server)
    async with connected(server) as engine:
        await migrate.upgrade(engine)
        async with engine.connect() as connection:
            # Commits are flushed all the same. What rolled back is lost in a crash, instead of in most crashes.
            await connection.execute(sa.text("ALTER SYSTEM SET wal_writer_delay = '10s'"))
            await connection.execute(sa.text("SELECT pg_reload_conf()"))
    return server


def standby(
    servers: list[postgres.Postgres], short_directory: pathlib.Path, of: postgres.Postgres
) -> postgres.Postgres:
    server = postgres.Postgres(short_directory / f"history-{next(_numbers)}", primary=of)
    servers.append(server)
    return server


async def mark(engine: Engine) -> None:
    """Notes a mark, as each process does once a second while tasks change."""
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE feed_marks SET noted_at = noted_at - interval '1 day'"))
    await marks.note(engine)


async def create(engine: Engine, count: int) -> list[feeds.Row]:
    return [(await factories.create(engine), 1) for _ in range(count)]


async def replayed(primary: Engine, standby: Engine) -> None:
    """Returns once the standby has all that the primary has committed."""
    async with primary.connect() as connection, standby.connect() as reading:
        ends = (await connection.execute(sa.text("SELECT CAST(pg_current_wal_lsn() AS text)"))).scalar_one()
        has = sa.text("SELECT pg_last_wal_replay_lsn() >= CAST(:ends AS pg_lsn)")
        while not (await reading.execute(has, {"ends": ends})).scalar_one():
            pass


async def cut_off(standby: Engine) -> None:
    """Ends the replication of an asynchronous standby."""
    async with standby.connect() as connection:
        await connection.execute(sa.text("ALTER SYSTEM SET primary_conninfo = ''"))
        await connection.execute(sa.text("SELECT pg_reload_conf()"))
        receiving = sa.text("SELECT count(*) FROM pg_stat_wal_receiver")
        while (await connection.execute(receiving)).scalar_one():
            pass


async def rolled_back(engine: Engine, count: int) -> None:
    """Begins transactions that are refused after they have an id, as batches with a used request_id are."""
    for _ in range(count):
        async with database.transaction(engine) as connection:
            await connection.execute(sa.text("SELECT pg_current_xact_id()"))
            await connection.rollback()


async def test_a_crash_after_refused_transactions_skips_none_and_repeats_none(
    servers: list[postgres.Postgres], short_directory: pathlib.Path
) -> None:
    server = await started(servers, short_directory)
    for _ in range(3):
        async with connected(server) as engine:
            await feed.now(engine)  # notes the history, by a transaction of its own
            await create(engine, 2)
            await rolled_back(engine, 30)
            position = await feed.now(engine)
            newest = await _next_transaction(engine)
        server.kill()
        server.start()
        async with connected(server) as engine:
            assert await _next_transaction(engine) < newest, "no transaction id is given again"
            created = await create(engine, 3)
            rows, position = await feeds.read_all(engine, position)
            assert rows == created


async def _next_transaction(engine: Engine) -> int:
    async with engine.connect() as connection:
        xmax = sa.text("SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)")
        return int((await connection.execute(xmax)).scalar_one())


async def test_a_crash_whose_last_ids_were_refused_batches_skips_no_create(
    servers: list[postgres.Postgres], short_directory: pathlib.Path
) -> None:
    server = await started(servers, short_directory)
    async with connected(server) as engine:
        taken = factories.new_task(request_id="taken")
        await task_create.create(engine, [taken], actor="api")
        batch = [factories.new_task(request_id="new"), factories.new_task(request_id="taken", name="other")]
        for _ in range(10):
            with pytest.raises(errors.RequestIdTaken):
                await task_create.create_all(engine, batch, actor="api")
            await rolled_back(engine, 1)
        position = await feed.now(engine)
    server.kill()
    server.start()
    async with connected(server) as engine:
        created = await create(engine, 1)
        assert (await feeds.read_all(engine, position))[0] == created


async def test_an_asynchronous_failover_delivers_everything_that_the_new_primary_has_since(
    servers: list[postgres.Postgres], short_directory: pathlib.Path
) -> None:
    old = await started(servers, short_directory)
    new = standby(servers, short_directory, old)
    async with connected(old) as before, connected(new) as after:
        start = await feed.now(before)
        shared = await create(before, 10)
        await mark(before)
        shared += await create(before, 5)
        await replayed(before, after)
        await cut_off(after)
        lost = await create(before, 40)  # seen on the old primary, and not replicated
        seen, position = await feeds.read_all(before, start)
        assert seen == shared + lost
        middle = (await feed.read(before, start, namespace_id=None, limit=30)).position  # in the middle of a window
        intact = (await feeds.read_all(before, start, limit=7))[1]
    old.kill()
    new.promote()
    async with connected(new) as after:
        await rolled_back(after, 5)
        created = await create(after, 60)
        await mark(after)
        created += await create(after, 20)
        for resumed in (position, intact, Position.parse(str(position))):
            rows, _ = await feeds.read_all(after, await feed.resume(after, resumed))
            assert rows[-len(created) :] == created, "changes were skipped"
            assert set(rows[: -len(created)]) <= set(shared[10:]), "more came again than since the last mark"
        rows, _ = await feeds.read_all(after, middle)
        assert set(created) <= set(rows)
        # A second failover, of a cursor that is two histories old, and one of the history between.
        between = await feed.now(after)
    third = standby(servers, short_directory, new)
    new.kill()
    third.promote()
    async with connected(third) as last:
        more = await create(last, 5)
        assert (await feeds.read_all(last, between))[0] == more  # nothing was lost, and nothing comes again
        rows, end = await feeds.read_all(last, position)
        assert rows[-len(created + more) :] == created + more
        assert (await feeds.read_all(last, end))[0] == []


async def test_a_position_of_a_history_that_a_failover_lost_is_refused(
    servers: list[postgres.Postgres], short_directory: pathlib.Path
) -> None:
    old = await started(servers, short_directory)
    new = standby(servers, short_directory, old)
    async with connected(old) as before, connected(new) as after:
        await replayed(before, after)
        await cut_off(after)
    old.kill()
    old.start()
    async with connected(old) as before:
        await create(before, 1)
        lost = await feed.now(before)  # of the history since the restart, which the standby does not know
    new.promote()
    async with connected(new) as after:
        await create(after, 3)
        for refuse in (feed.resume(after, lost), feed.read(after, lost, namespace_id=None, limit=10)):
            with pytest.raises(errors.InvalidArgument, match="cursor: must come from a watch of this database"):
                await refuse


async def test_a_standby_gives_neither_positions_nor_pages(
    servers: list[postgres.Postgres], short_directory: pathlib.Path
) -> None:
    old = await started(servers, short_directory)
    async with connected(old) as before:
        position = await feed.now(before)
        (task_id, _), *_ = await create(before, 1)
    replica = standby(servers, short_directory, old)
    async with connected(replica) as reading:
        for refuse in (
            feed.now(reading),
            feed.read(reading, position, namespace_id=None, limit=10),
            feed.resume(reading, position),
            feed.read_task(reading, task_id, after_version=0, limit=10),
        ):
            with pytest.raises(errors.StoreUnavailable, match="replica"):
                await refuse


async def test_a_restart_repeats_nothing(servers: list[postgres.Postgres], short_directory: pathlib.Path) -> None:
    server = await started(servers, short_directory)
    async with connected(server) as engine:
        start = await feed.now(engine)
        created = await create(engine, 8)
        window = (await feed.read(engine, start, namespace_id=None, limit=3)).position
        end = await feed.now(engine)
    server.kill()
    server.start()
    async with connected(server) as engine:
        created += await create(engine, 2)
        assert (await feeds.read_all(engine, end))[0] == created[8:]
        assert (await feeds.read_all(engine, window))[0] == created[3:]
        assert (await feeds.read_all(engine, start))[0] == created


async def test_a_copy_of_the_database_refuses_positions_of_the_original(
    servers: list[postgres.Postgres], short_directory: pathlib.Path
) -> None:
    server = await started(servers, short_directory)
    async with connected(server) as engine:
        await create(engine, 1)
        position = await feed.now(engine)
    template = database.connect(server.url.replace("/postgres?", "/template1?"), pool_size=1)
    async with template.connect() as connection:
        await connection.execute(sa.text("CREATE DATABASE copied TEMPLATE postgres"))
    await template.dispose()
    copied = database.connect(server.url.replace("/postgres?", "/copied?"), pool_size=2)
    with pytest.raises(errors.InvalidArgument, match="must come from a watch of this database"):
        await feed.resume(copied, position)
    here = await feed.now(copied)
    created = await create(copied, 2)
    assert (await feeds.read_all(copied, here))[0] == created
    await copied.dispose()


async def test_a_copied_database_notes_its_history_again_after_a_crash(
    servers: list[postgres.Postgres], short_directory: pathlib.Path
) -> None:
    server = await started(servers, short_directory)
    async with connected(server) as engine:
        await feed.now(engine)
    template = database.connect(server.url.replace("/postgres?", "/template1?"), pool_size=1)
    async with template.connect() as connection:
        await connection.execute(sa.text("CREATE DATABASE copied TEMPLATE postgres"))
    await template.dispose()
    copied = database.connect(server.url.replace("/postgres?", "/copied?"), pool_size=2)
    await create(copied, 1)
    await feed.now(copied)
    await create(copied, 1)
    await copied.dispose()
    server.kill()
    server.start()
    # A copied sequence gives numbers again that were not logged before the crash.
    copied = database.connect(server.url.replace("/postgres?", "/copied?"), pool_size=2)
    position = await feed.now(copied)
    created = await create(copied, 2)
    assert (await feeds.read_all(copied, position))[0] == created
    await copied.dispose()
