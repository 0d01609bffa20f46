"""Maps the errors of PostgreSQL and its driver to the errors that callers get."""

import psycopg
import psycopg.errors
import sqlalchemy.exc

from duetime_core.model import errors

_REFUSALS = {
    "25006": "The database is read-only, as a replica is. Nothing was changed; retry later.",
    "25P03": "The database waited too long for the next statement. Nothing was changed; retry later.",
    "40001": "Concurrent changes to the same tasks conflicted. Nothing was changed; retry later.",
    "40P01": "Concurrent changes to the same tasks conflicted. Nothing was changed; retry later.",
    "53": "The database lacks resources. Nothing was changed; retry later.",
    "53100": "The database's disk is full. Nothing was changed; retry once there is room.",
    "53200": "The database is out of memory. Nothing was changed; retry later.",
    "53300": "The database has too many connections. Nothing was changed; retry later.",
    "55P03": "The database waited too long for a lock. Nothing was changed; retry later.",
    "57014": "The statement took too long and was cancelled. Nothing was changed; retry later.",
    "57P03": "The database is starting or stopping. Nothing was changed; retry later.",
    "58": "The database's disk or system failed. Nothing was changed; retry later.",
}
"""Transient errors, by SQLSTATE or its class. Any other error that PostgreSQL reports is a bug.

Each fails the statement, and with it its transaction. That is not certain where the connection ended too: a disk that
is full when PostgreSQL writes the commit stops the whole server, and recovery may find the commit on the disk.
"""

_BEFORE_STATEMENT = {"25006", "25P03", "53300", "57P03"}
"""These end the connection before the statement, or its COMMIT, is executed."""

_DURING_STATEMENT = {"25P04", "57P01", "57P02", "57P04", "57P05"}
"""These end the connection at any point, so that the commit may have been made."""

_UNKNOWN = "The outcome is unknown: the change may have been committed. Retry it; a create, with the same request_id."
LATE = f"The database did not answer in time. {_UNKNOWN}"
_LOST = f"The connection to the database was lost. {_UNKNOWN}"


def explain(error: sqlalchemy.exc.DBAPIError) -> errors.DuetimeError | None:
    """Returns the error for callers, or None for a bug."""
    cause = error.orig
    if isinstance(cause, psycopg.errors.SequenceGeneratorLimitExceeded):
        return errors.TaskIdsExhausted()
    state = cause.sqlstate if isinstance(cause, psycopg.Error) else None
    if state in _DURING_STATEMENT or (error.connection_invalidated and state not in _BEFORE_STATEMENT):
        return errors.StoreUnavailable(LATE if isinstance(cause, psycopg.errors.ConnectionTimeout) else _LOST)
    if state is None:
        lacks_connection = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        return errors.StoreUnavailable() if lacks_connection else None
    sentence = _REFUSALS.get(state) or _REFUSALS.get(state[:2])
    return errors.StoreUnavailable(sentence) if sentence else None


def is_timeout(error: errors.StoreUnavailable) -> bool:
    """Returns whether a statement took longer than its statement_timeout, so that nothing was changed."""
    cause = error.__cause__
    return isinstance(cause, sqlalchemy.exc.DBAPIError) and isinstance(cause.orig, psycopg.errors.QueryCanceled)
