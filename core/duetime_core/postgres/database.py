"""The one constructor of connections to PostgreSQL."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import psycopg
import sqlalchemy
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, payload
from duetime_core.postgres import connection, error_mapping
from duetime_core.process import background

_SESSION = {
    "timezone": "UTC",
    # Autocommit is the rule; a transaction that is left open would hold back vacuum and the claims' row locks.
    "idle_in_transaction_session_timeout": "10s",
    # Before `connection.ANSWER_SECONDS`, so that a slow statement's end is known.
    "statement_timeout": "8s",
    # A statement is short and its plan is known: compiling it, having others help, or planning it anew each time would
    # cost more than it.
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "max_parallel_workers_per_gather": "0",
    # Every row is found through an index. A plan that was made while a table was small, and is kept, would read all of
    # it once it is large.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


_Result = TypeVar("_Result")


def connect(database_url: str, *, pool_size: int = 10) -> sqlalchemy_asyncio.AsyncEngine:
    """Returns an engine for `postgresql://…` that keeps at most `pool_size` connections; it connects when used.

    Its connections are in autocommit, because nearly every change is one statement and the two round trips
    of BEGIN and COMMIT would be two thirds of its time; `transaction` is for the others.
    """
    url = sqlalchemy.make_url(database_url).set(drivername="postgresql+psycopg")
    engine = sqlalchemy_asyncio.create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        # A task's data may hold credentials, and what an error says is logged.
        hide_parameters=True,
        json_deserializer=payload.decode,
        connect_args={
            "async_creator_fn": connection.Connection.connect,
            "connect_timeout": 5,
            # Notice within seconds that the database's machine is gone, instead of hanging.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
        },
    )
    sqlalchemy.event.listen(engine.sync_engine, "checkout", _check)
    sqlalchemy.event.listen(engine.sync_engine, "handle_error", _conceal)
    return engine


def _check(adapted: Any, *_: object) -> None:
    """Has the pool replace its connections if the database closed this one while nobody used it."""
    driver: connection.Connection = adapted.driver_connection
    if driver.is_lost():
        if driver.is_new:
            # Replacing it again and again would only end in an error that looks like a mistake of ours.
            raise psycopg.OperationalError("the connection was closed as soon as it was made")
        raise sqlalchemy.exc.InvalidatePoolError
    driver.is_new = False
    driver.answer_seconds = connection.ANSWER_SECONDS


def _conceal(context: sqlalchemy.engine.ExceptionContext) -> None:
    """Leaves PostgreSQL's first sentence of an error: its DETAIL and CONTEXT quote rows and parameters."""
    cause, told = context.original_exception, context.sqlalchemy_exception
    if isinstance(cause, psycopg.Error) and told is not None and cause.diag.message_primary:
        cause.args = (cause.diag.message_primary,)
        told.args = (f"{type(cause).__name__}: {cause.diag.message_primary}",)


def transaction(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> contextlib.AbstractAsyncContextManager[sqlalchemy_asyncio.AsyncConnection]:
    """Opens a transaction on `engine`: committed at the end of the block, rolled back if that raises."""
    return engine.execution_options(isolation_level="READ COMMITTED").begin()


async def to_the_end(
    engine: sqlalchemy_asyncio.AsyncEngine, work: Callable[[sqlalchemy_asyncio.AsyncConnection], Awaitable[_Result]]
) -> _Result:
    """Returns what `work` does in a transaction, which ends once it has begun, also for a caller who hangs up.

    Taken back because of that, the ids that it drew would be lost, a thousand for a call that costs its caller nothing.
    """

    async def in_transaction(connection: sqlalchemy_asyncio.AsyncConnection) -> _Result:
        async with connection.begin():
            return await work(connection)

    async with engine.execution_options(isolation_level="READ COMMITTED").connect() as connection:
        return await background.finish(in_transaction(connection))


async def be_patient(connected: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Lets statements of `connected` go unanswered for as long as PostgreSQL's statement_timeout lets them."""
    driver: Any = (await connected.get_raw_connection()).driver_connection
    driver.answer_seconds = None


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Turns what drivers raise when the database cannot be reached, or gives up, into StoreUnavailable."""
    try:
        yield
    except sqlalchemy.exc.TimeoutError as error:
        raise errors.StoreUnavailable("All connections to the database are busy. Try again.") from error
    except sqlalchemy.exc.DBAPIError as error:
        explained = error_mapping.explain(error)
        if explained is None:
            raise
        raise explained from error
