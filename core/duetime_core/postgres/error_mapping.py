"""Why the database did not do what it was asked: what its driver raises, as what callers are told."""

import psycopg
import psycopg.errors
import sqlalchemy.exc

from duetime_core.model import errors

_REFUSALS = {
    "25006": "The database is read-only, as a replica is; nothing was changed. Try again.",
    "25P03": "The database waited too long for the next statement; nothing was changed. Try again.",
    "40001": "Others were changing the same tasks; nothing was changed. Try again.",
    "40P01": "Others were changing the same tasks; nothing was changed. Try again.",
    "53": "The database lacks resources; nothing was changed. Try again later.",
    "53100": "The database's disk is full; nothing was changed. Try again once there is room.",
    "53200": "The database is out of memory; nothing was changed. Try again later.",
    "53300": "The database has too many connections; nothing was changed. Try again.",
    "55P03": "The database waited too long for a lock; nothing was changed. Try again.",
    "57014": "The database gave up, because it took too long; nothing was changed. Try again.",
    "57P03": "The database is starting or stopping; nothing was changed. Try again.",
    "58": "The database's disk or system fails; nothing was changed. Try again later.",
}
"""By SQLSTATE, or by its class: what may work later. Whatever else PostgreSQL refuses is a mistake of ours.

They fail the statement, and with it its transaction. That is no longer certain where the connection ended too: a disk
that is full as PostgreSQL writes the commit stops all of it, and the commit may be found on the disk afterwards.
"""

_BEFORE = {"25P03", "53300", "57P03"}
"""They end the connection, but before the statement is read, or its COMMIT."""

_ENDINGS = {"25P04", "57P01", "57P02", "57P04", "57P05"}
"""They end the connection whatever it is at, so that the commit may have been made."""

_UNKNOWN = "Whether a change was made is not known: look, or create again with the same request_id."
LATE = f"The database did not answer in time. {_UNKNOWN}"
_LOST = f"The connection to the database was lost. {_UNKNOWN}"


def explain(error: sqlalchemy.exc.DBAPIError) -> errors.DuetimeError | None:
    """Returns the error for callers, or None if they cannot be told anything better than that we failed."""
    cause = error.orig
    if isinstance(cause, psycopg.errors.SequenceGeneratorLimitExceeded):
        return errors.TaskIdsExhausted()
    state = cause.sqlstate if isinstance(cause, psycopg.Error) else None
    if state in _ENDINGS or (error.connection_invalidated and state not in _BEFORE):
        return errors.StoreUnavailable(LATE if isinstance(cause, psycopg.errors.ConnectionTimeout) else _LOST)
    if state is None:
        lacks_connection = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        return errors.StoreUnavailable() if lacks_connection else None
    sentence = _REFUSALS.get(state) or _REFUSALS.get(state[:2])
    return errors.StoreUnavailable(sentence) if sentence else None
