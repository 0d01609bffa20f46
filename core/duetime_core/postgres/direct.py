"""Hot statements, by psycopg without SQLAlchemy, which takes four times as long for each.

Connections are the engine's own: from its pool, with its deadlines and settings. Errors are handed to SQLAlchemy, so
that they are raised, and affect the pool, as for any other statement.
"""

import functools
from collections.abc import Mapping
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import namespace

_DIALECT = psycopg_dialect.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


async def execute(
    engine: sqlalchemy_asyncio.AsyncEngine, statement: sa.TextClause, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Returns the rows of a statement, each a tuple. Raises the errors of SQLAlchemy.

    Like any other, a statement of `namespaced` takes its namespace from the call.
    """
    query, names = _compiled(statement)
    own = namespace.current() if None in names else None
    values = [own if name is None else parameters[name] for name in names]
    connection = await engine.connect()
    try:
        sync = connection.sync_connection
        assert sync is not None
        driver: Any = sync.connection.driver_connection
        cursor = psycopg.AsyncRawCursor(driver)
        # Prepared at once: to plan one of these takes longer than to execute it.
        await cursor.execute(query, values, prepare=True, binary=True)
        return await cursor.fetchall()
    except BaseException as error:
        await connection.run_sync(_raise, error, query)
        raise
    finally:
        await connection.close()  # without an asyncio task of its own, as `async with` has: it waits for nothing


@functools.cache
def _compiled(statement: sa.TextClause) -> tuple[bytes, tuple[str | None, ...]]:
    """Returns the statement with numbered parameters, and their names in order: None for the namespace."""
    compiled = statement.compile(dialect=_DIALECT)
    names = [None if compiled.binds[name].callable is not None else name for name in compiled.positiontup or ()]
    return str(compiled).encode(), tuple(names)


def _raise(connection: sa.Connection, error: BaseException, query: bytes) -> None:
    """Raises the error as if `connection` had executed the statement, with its effects on the pool."""
    try:
        raise error
    except BaseException as raised:
        # There is no public way: SQLAlchemy handles errors of what it executes itself.
        connection._handle_dbapi_exception(raised, query.decode(), None, None, None)  # noqa: SLF001
