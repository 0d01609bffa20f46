"""Table locks of migrations: a waiting lock request blocks all later ones, so it fails soon and is repeated."""

import contextlib
import datetime
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg.errors
import sqlalchemy as sa
import sqlalchemy.exc

TIMEOUT = datetime.timedelta(milliseconds=500)
"""How long a migration waits for its locks, and others wait behind it.

It is less than PostgreSQL's `deadlock_timeout`, so that the migration fails before the statement of another session
does.
"""

_HOLDERS = sa.text("""
SELECT DISTINCT activity.pid, activity.application_name, activity.usename,
    EXTRACT(EPOCH FROM now() - activity.xact_start) AS seconds
FROM pg_locks AS lock JOIN pg_stat_activity AS activity USING (pid)
WHERE lock.granted AND lock.pid <> pg_backend_pid()
    AND lock.relation IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name)
ORDER BY seconds DESC NULLS LAST LIMIT 5
""")
_OLDER = sa.text("""
SELECT pid, application_name, usename, EXTRACT(EPOCH FROM now() - xact_start) AS seconds
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - interval '1 second'
ORDER BY seconds DESC LIMIT 5
""")


def take(connection: sa.Connection, tables: Sequence[str]) -> None:
    """Locks these tables until the transaction ends. Raises LockNotAvailable if that takes longer than TIMEOUT."""
    end = time.monotonic() + TIMEOUT.total_seconds()
    for table in tables:
        _limit(connection, max(end - time.monotonic(), 0.001), is_local=True)
        connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    _limit(connection, TIMEOUT.total_seconds(), is_local=True)


@contextlib.contextmanager
def limited(connection: sa.Connection) -> Iterator[None]:
    """Lets statements outside a transaction wait for a lock no longer than TIMEOUT."""
    _limit(connection, TIMEOUT.total_seconds(), is_local=False)
    try:
        yield
    finally:
        _limit(connection, 0, is_local=False)


def is_busy(error: BaseException) -> bool:
    """Returns whether the error says that others hold a lock: nothing was changed, and it can be repeated."""
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return isinstance(cause, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)


def holders(connection: sa.Connection, tables: Sequence[str]) -> str:
    """Describes the sessions that have locked these tables, the longest first, without what they execute."""
    return _described(connection.execute(_HOLDERS, {"tables": list(tables)}))


def older_transactions(connection: sa.Connection) -> str:
    """Describes the sessions whose transactions have been open for a second, the oldest first."""
    return _described(connection.execute(_OLDER))


def _described(sessions: sa.CursorResult[Any]) -> str:
    return ", ".join(
        f"pid {each.pid} ({each.application_name or each.usename or 'unknown'}, {each.seconds or 0:.0f} s)"
        for each in sessions
    )


def _limit(connection: sa.Connection, seconds: float, *, is_local: bool) -> None:
    milliseconds = f"{seconds * 1000:.0f}"
    connection.execute(
        sa.text("SELECT set_config('lock_timeout', :limit, :is_local)"), {"limit": milliseconds, "is_local": is_local}
    )
