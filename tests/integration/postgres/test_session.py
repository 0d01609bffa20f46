"""Settings of sessions are in force, directly and behind PgBouncer, or the connection is refused."""

import pathlib
import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import errors
from duetime_core.postgres import database, session
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.support import factories, pgbouncer

Engine = sqlalchemy_asyncio.AsyncEngine

EXPECTED = {
    "statement_timeout": "8s",
    "idle_in_transaction_session_timeout": "10s",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "TimeZone": "UTC",
}
IGNORES_OPTIONS = "ignore_startup_parameters = options"


@pytest.fixture
def directory(short_directory: pathlib.Path) -> pathlib.Path:
    return short_directory / uuid.uuid4().hex[:8]


async def settings(engine: Engine, names: list[str]) -> dict[str, str]:
    async with engine.connect() as connection:
        return {
            name: (await connection.execute(sa.text("SELECT current_setting(:name)"), {"name": name})).scalar_one()
            for name in names
        }


@pytest.mark.parametrize("options", ["", IGNORES_OPTIONS], ids=["refuses options", "drops options"])
async def test_settings_are_in_force_behind_a_pooler_in_session_mode(
    database_url: str, directory: pathlib.Path, options: str
) -> None:
    with pgbouncer.running(directory, database_url, mode="session", options=options) as url:
        pooled = database.connect(f"{url}&options=-c%20work_mem%3D5MB")
        try:
            for _ in range(3):
                expected = {**EXPECTED, "work_mem": "5MB"}
                assert await settings(pooled, [*expected]) == expected
            task_id = await factories.create(pooled)
            (claimed,) = await factories.claim(pooled)
            await task_outcomes.record(pooled, [factories.outcome(claimed)], worker_id="worker")
            assert await factories.history(pooled, task_id) == ["created", "started", "completed"]
        finally:
            await pooled.dispose()


@pytest.mark.parametrize("options", ["", IGNORES_OPTIONS], ids=["refuses options", "drops options"])
async def test_a_pooler_in_transaction_mode_is_refused_with_what_to_do(
    database_url: str, directory: pathlib.Path, options: str
) -> None:
    with pgbouncer.running(directory, database_url, mode="transaction", options=options) as url:
        pooled = database.connect(url)
        with pytest.raises(errors.StoreUnavailable) as raised:
            await factories.create(pooled)
        assert session.TRANSACTION_MODE in str(raised.value.__cause__)
        with pytest.raises(errors.StoreUnavailable):
            await migrate.upgrade(pooled)
        await pooled.dispose()


async def test_nothing_is_set_in_the_sessions_of_a_pooler_in_transaction_mode(
    database_url: str, directory: pathlib.Path
) -> None:
    with pgbouncer.running(directory, database_url, mode="transaction", options=IGNORES_OPTIONS) as url:
        pooled = database.connect(url)
        with pytest.raises(errors.StoreUnavailable):
            await factories.create(pooled)
        await pooled.dispose()
        plain = sqlalchemy_asyncio.create_async_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        assert (await settings(plain, ["statement_timeout"])) == {"statement_timeout": "0"}
        await plain.dispose()


async def test_answered_changes_are_flushed_also_where_the_database_does_not_by_default(
    admin: Engine, database_url: str
) -> None:
    name = sa.make_url(database_url).database
    async with admin.connect() as connection:
        await connection.execute(sa.text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    for options, expected in (("", "on"), ("&options=-c%20synchronous_commit%3Doff", "off")):
        connected = database.connect(f"{database_url}{options}")
        assert await settings(connected, ["synchronous_commit"]) == {"synchronous_commit": expected}
        await connected.dispose()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", {}),
        ("-c jit=off -c work_mem=5MB", {"jit": "off", "work_mem": "5MB"}),
        ("-cjit=off --work-mem=5MB", {"jit": "off", "work_mem": "5MB"}),
        ("-c jit=off -c JIT=on", {"jit": "on"}),
        (r"-c search_path=a\ b,c", {"search_path": "a b,c"}),
    ],
)
def test_options_are_read_as_postgresql_reads_them(options: str, found: dict[str, str]) -> None:
    assert session.wanted(options) == found
