"""Engines for PostgreSQL: the only place that makes connections."""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import psycopg
import sqlalchemy
import sqlalchemy.exc
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, namespace, payload
from duetime_core.postgres import connection, error_mapping, session
from duetime_core.process import background, libpq

_SESSION = {
    "timezone": "UTC",
    # Autocommit is the rule. A transaction left open would block vacuum and keep the row locks of a claim.
    "idle_in_transaction_session_timeout": "10s",
    # A statement whose caller hung up ends that soon, instead of holding its locks until its timeout.
    "client_connection_check_interval": "250ms",
    # Less than `connection.ANSWER_SECONDS`, so that the outcome of a slow statement is known.
    "statement_timeout": "8s",
    # Statements are short and their plans known: JIT, parallel workers or planning each anew would cost more than the
    # statement itself.
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "max_parallel_workers_per_gather": "0",
    # Every row is found by an index: a cached plan from when a table was small would scan it whole once it is large.
    # Reports, which read much of the log, turn scans on again; retention reads the log's default partition by block.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_STATEMENT_SHARE = 0.8
"""The statement_timeout, as a share of another time for an answer."""

_NETWORK = {
    # A replica answers reads, and would be kept until it is promoted: by an address that still leads to the primary of
    # before, or as the first of several.
    "target_session_attrs": "read-write",
    "connect_timeout": 5,
    # Notice within seconds that the database's machine is down, instead of hanging.
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
_CONNECT_TIMEOUT_OF_SEVERAL = 2
"""Seconds for each of several hosts, psycopg's least: those that are down come before the one that is not."""

_Result = TypeVar("_Result")


def connect(
    database_url: str, *, pool_size: int = 10, answer_seconds: float | None = None
) -> sqlalchemy_asyncio.AsyncEngine:
    """Returns an engine for `postgresql://…` with at most `pool_size` connections; it connects when first used.

    `answer_seconds`, by default `connection.ANSWER_SECONDS`, is how long a statement may go unanswered.

    Its connections are in autocommit: nearly every change is one statement, and the two round trips of BEGIN and COMMIT
    would be two thirds of its time. Use `transaction` for the others.
    """
    url = sqlalchemy.make_url(libpq.spread(database_url)).set(drivername="postgresql+psycopg")
    engine = sqlalchemy_asyncio.create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        # The one last used: a few stay warm, instead of each planning every statement and holding its caches.
        pool_use_lifo=True,
        # A task's data may hold credentials, and errors are logged.
        hide_parameters=True,
        json_deserializer=payload.decode,
        connect_args={"async_creator_fn": connection.Connection.connect, **_arguments(url, answer_seconds)},
    )
    sqlalchemy.event.listen(engine.sync_engine, "do_connect", session.Sessions(answer_seconds).open)
    sqlalchemy.event.listen(engine.sync_engine, "checkout", functools.partial(_check, answer_seconds))
    sqlalchemy.event.listen(engine.sync_engine, "handle_error", _drop_pool)
    sqlalchemy.event.listen(engine.sync_engine, "handle_error", _redact)
    sqlalchemy.event.listen(engine.sync_engine, "handle_error", _unwrap)
    return engine


def _arguments(url: sqlalchemy.URL, answer_seconds: float | None = None) -> dict[str, Any]:
    """Returns the parameters of libpq that the URL leaves open; its own win."""
    given = psycopg_dialect.dialect().create_connect_args(url)[1]  # type: ignore[no-untyped-call]
    network: dict[str, Any] = dict(_NETWORK)
    if "," in str(given.get("host", "")):
        network["connect_timeout"] = _CONNECT_TIMEOUT_OF_SEVERAL
    settings = dict(_SESSION)
    if answer_seconds is not None:
        settings["statement_timeout"] = f"{round(1000 * _STATEMENT_SHARE * answer_seconds)}ms"
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    chosen = {name: value for name, value in network.items() if name not in given}
    return {**chosen, "options": f"{options} {given.get('options', '')}".rstrip()}


def _drop_pool(context: sqlalchemy.engine.ExceptionContext) -> None:
    """Drops all pooled connections once one turns out to lead to a replica, or may have fallen silent.

    The next ones lead to the primary. SQLAlchemy does so by itself after a response that is overdue, but not if the
    caller gave up before.
    """
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True
    elif (
        isinstance(context.original_exception, asyncio.CancelledError)
        and context.connection is not None
        and context.is_disconnect  # not closed already
    ):
        driver: Any = context.connection.connection.driver_connection
        if driver is not None and driver.waited_seconds > connection.SILENT_SECONDS:
            context.invalidate_pool_on_disconnect = True


def _check(answer_seconds: float | None, adapted: Any, *_: object) -> None:
    """Makes the pool replace its connections if the database closed this one while it was idle."""
    driver: connection.Connection = adapted.driver_connection
    if driver.is_lost():
        if driver.is_new:
            # Replacing it repeatedly would end in an error that looks like a bug.
            raise psycopg.OperationalError("the database closed the connection as soon as it was opened")
        raise sqlalchemy.exc.InvalidatePoolError
    driver.is_new = False
    driver.answer_seconds = answer_seconds or connection.ANSWER_SECONDS


def _redact(context: sqlalchemy.engine.ExceptionContext) -> None:
    """Keeps only the primary message of PostgreSQL's error: its DETAIL and CONTEXT quote rows and parameters."""
    cause, raised = context.original_exception, context.sqlalchemy_exception
    if isinstance(cause, psycopg.Error) and raised is not None and cause.diag.message_primary:
        cause.args = (cause.diag.message_primary,)
        raised.args = (f"{type(cause).__name__}: {cause.diag.message_primary}",)


def _unwrap(context: sqlalchemy.engine.ExceptionContext) -> BaseException | None:
    """Has a statement outside any namespace raise what says so, instead of an error of SQLAlchemy."""
    cause = context.original_exception
    return cause if isinstance(cause, namespace.NoNamespaceError) else None


def transaction(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> contextlib.AbstractAsyncContextManager[sqlalchemy_asyncio.AsyncConnection]:
    """Opens a transaction on `engine`: committed at the end of the block, rolled back if the block raises."""
    return engine.execution_options(isolation_level="READ COMMITTED").begin()


async def run_to_completion(
    engine: sqlalchemy_asyncio.AsyncEngine, work: Callable[[sqlalchemy_asyncio.AsyncConnection], Awaitable[_Result]]
) -> _Result:
    """Returns the result of `work` in a transaction, which runs to its end even if the caller hangs up.

    Rolled back, it would lose the ids that it drew: a thousand by a call that costs its caller nothing.
    """

    async def in_transaction(connection: sqlalchemy_asyncio.AsyncConnection) -> _Result:
        async with connection.begin():
            return await work(connection)

    async with engine.execution_options(isolation_level="READ COMMITTED").connect() as connection:
        return await background.finish(in_transaction(connection))


async def wait_indefinitely(connected: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Removes the timeout for responses to `connected`: only PostgreSQL's statement_timeout limits its statements."""
    driver: Any = (await connected.get_raw_connection()).driver_connection
    driver.answer_seconds = None


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Turns the driver's errors into StoreUnavailable where the database cannot be reached or refuses for now."""
    try:
        yield
    except sqlalchemy.exc.TimeoutError as error:
        raise errors.StoreUnavailable(
            "All connections to the database are busy. Nothing was changed; retry later."
        ) from error
    except sqlalchemy.exc.DBAPIError as error:
        explained = error_mapping.explain(error)
        if explained is None:
            raise
        raise explained from error
