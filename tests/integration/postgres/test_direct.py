"""Statements by psycopg alone fail as those of SQLAlchemy do, and with the same effects on the pool."""

import asyncio
import contextvars
import datetime
import traceback
import uuid

import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, namespace
from duetime_core.postgres import connection, database, direct, namespaced
from tests.integration.postgres import test_database

Engine = sqlalchemy_asyncio.AsyncEngine

SLEEP = sa.text("SELECT pg_sleep(:seconds)")
WRITE = sa.text("INSERT INTO queues (name) VALUES (:name)  RETURNING name")
PROCESS_ID = sa.text("SELECT pg_backend_pid()")


async def sleep(engine: Engine) -> None:
    with database.unavailable():
        await direct.execute(engine, SLEEP, {"seconds": 60.0})


async def test_rows_are_tuples_of_the_same_values(engine: Engine) -> None:
    given = {"name": "it's 100% :of", "number": 7, "moment": datetime.datetime.now(datetime.UTC)}
    statement = sa.text("""
        SELECT CAST(:name AS text), CAST(:number AS int), CAST(:moment AS timestamptz), CAST(:name AS text),
            CAST('{"a": 1e22}' AS jsonb), interval '90 s', NULL, ARRAY[1, 2]
    """)
    ours = await direct.execute(engine, statement, given)
    async with engine.connect() as connected:
        assert ours == [tuple(row) for row in await connected.execute(statement, given)]


async def test_an_error_quotes_neither_parameters_nor_rows(engine: Engine) -> None:
    secret = f"Secret{uuid.uuid4()}"
    await direct.execute(engine, WRITE, {"name": secret})
    with pytest.raises(sqlalchemy.exc.IntegrityError) as raised:
        await direct.execute(engine, WRITE, {"name": secret})
    printed = "".join(traceback.format_exception(raised.value))
    assert secret not in printed
    assert "DETAIL" not in printed


async def test_a_connection_that_is_read_only_drops_the_whole_pool(engine: Engine) -> None:
    async with engine.connect() as first, engine.connect() as second:
        for each in (first, second):
            await each.execute(sa.text("SET default_transaction_read_only = on"))
    read_only = pytest.raises(errors.StoreUnavailable, match=r"is read-only, .* Nothing was changed; retry later")
    with read_only, database.unavailable():
        await direct.execute(engine, WRITE, {"name": "first"})
    await asyncio.gather(*(direct.execute(engine, WRITE, {"name": str(number)}) for number in range(3)))


async def test_an_unanswered_statement_fails_and_its_connection_is_closed(
    admin: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = database.connect(database_url, pool_size=1)
    ((before,),) = await direct.execute(small, PROCESS_ID, {})
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.1)
    with pytest.raises(errors.StoreUnavailable, match=r"did not answer in time. The outcome is unknown"):
        await sleep(small)
    monkeypatch.undo()
    ((after,),) = await direct.execute(small, PROCESS_ID, {})
    assert after != before
    await test_database.end_connections(admin, small)
    await small.dispose()


async def test_a_caller_who_hangs_up_sends_no_cancel_and_leaves_the_pool_whole(
    admin: Engine, database_url: str
) -> None:
    small = database.connect(database_url, pool_size=1)
    ((before,),) = await direct.execute(small, PROCESS_ID, {})
    sleeping = asyncio.create_task(sleep(small))
    await test_database.wait_until_asleep(admin, small)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    ((after,),) = await direct.execute(small, PROCESS_ID, {})
    assert after != before
    await small.dispose()


async def test_a_connection_that_is_lost_in_a_statement_is_unavailable_and_the_next_one_works(
    admin: Engine, engine: Engine
) -> None:
    sleeping = asyncio.create_task(sleep(engine))
    await test_database.wait_until_asleep(admin, engine)
    await test_database.end_connections(admin, engine)
    with pytest.raises(errors.StoreUnavailable, match="The outcome is unknown"):
        await sleeping
    await direct.execute(engine, PROCESS_ID, {})


OWN = namespaced.text("SELECT :namespace_id, CAST(:other AS int)")


async def test_the_namespace_of_a_statement_is_that_of_the_call_whatever_is_given(engine: Engine) -> None:
    given = {"other": 3, "namespace_id": 9, "namespace_id_1": 9}
    with namespace.use(7):
        assert await direct.execute(engine, OWN, given) == [(7, 3)]
        async with engine.connect() as connected:
            assert (await connected.execute(OWN, {"other": 3, "namespace_id": 9})).one() == (7, 3)
    assert await direct.execute(engine, OWN, given) == [(namespace.DEFAULT, 3)]


async def test_a_statement_of_a_namespace_fails_outside_any(engine: Engine) -> None:
    async def execute() -> None:
        async with engine.connect() as connected:
            await connected.execute(OWN, {"other": 3})

    for call in (direct.execute(engine, OWN, {"other": 3}), execute()):
        with pytest.raises(namespace.NoNamespaceError):
            await asyncio.create_task(call, context=contextvars.Context())
    assert engine.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]
