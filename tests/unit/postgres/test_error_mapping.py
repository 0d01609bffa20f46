"""Errors of PostgreSQL and its driver become errors that show callers whether anything changed."""

import psycopg
import psycopg.errors
import pytest
import sqlalchemy.exc

from duetime_core.model import errors
from duetime_core.postgres import database


def message_of(cause: Exception, *, invalidated: bool = False) -> str:
    """Returns the message that a caller gets if a statement fails so."""
    with pytest.raises(errors.StoreUnavailable) as raised, database.unavailable():
        raise sqlalchemy.exc.DBAPIError("a statement", {}, cause, connection_invalidated=invalidated)
    return raised.value.message


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (psycopg.errors.DiskFull, "The database's disk is full."),
        (psycopg.errors.QueryCanceled, "The statement took too long and was cancelled."),
        (psycopg.errors.OutOfMemory, "The database is out of memory."),
        (psycopg.errors.TooManyConnections, "The database has too many connections."),
        (psycopg.errors.ConfigurationLimitExceeded, "The database lacks resources."),
        (psycopg.errors.LockNotAvailable, "The database waited too long for a lock."),
        (psycopg.errors.DeadlockDetected, "Concurrent changes to the same tasks conflicted."),
        (psycopg.errors.SerializationFailure, "Concurrent changes to the same tasks conflicted."),
        (psycopg.errors.ReadOnlySqlTransaction, "The database is read-only, as a replica is."),
        (psycopg.errors.CannotConnectNow, "The database is starting or stopping."),
        (psycopg.errors.IoError, "The database's disk or system failed."),
    ],
)
def test_a_transient_error_is_unavailable_with_its_reason(cause: type[psycopg.Error], sentence: str) -> None:
    assert message_of(cause("not now")).startswith(sentence)


@pytest.mark.parametrize(
    "cause",
    [
        psycopg.OperationalError("connection failed: the database system is starting up"),
        psycopg.OperationalError("failed to resolve host"),
        psycopg.errors.ConnectionTimeout("connection timeout expired"),
        psycopg.InterfaceError("the connection is closed"),
    ],
    ids=str,
)
def test_without_a_connection_nothing_was_changed(cause: psycopg.Error) -> None:
    assert message_of(cause) == "The database is unavailable. Nothing was changed; retry later."


@pytest.mark.parametrize(
    "cause",
    [
        psycopg.OperationalError("the connection is lost"),
        psycopg.errors.AdminShutdown("terminating connection due to administrator command"),
        psycopg.errors.CrashShutdown("terminating connection because of crash of another server process"),
        psycopg.errors.ConnectionFailure("gone"),
        psycopg.errors.DiskFull("could not write to log file"),
        psycopg.errors.IoError("could not fsync file"),
        psycopg.errors.SerializationFailure("terminating connection due to conflict with recovery"),
        psycopg.InterfaceError("the connection is closed"),
    ],
    ids=str,
)
def test_a_statement_whose_connection_is_lost_has_an_unknown_outcome(cause: psycopg.Error) -> None:
    message = message_of(cause, invalidated=True)
    assert message.startswith("The connection to the database was lost. The outcome is unknown:")


@pytest.mark.parametrize(
    "cause",
    [
        psycopg.errors.AdminShutdown,
        psycopg.errors.CrashShutdown,
        psycopg.errors.DatabaseDropped,
        psycopg.errors.IdleSessionTimeout,
        psycopg.errors.TransactionTimeout,
    ],
)
def test_an_error_that_ends_the_connection_has_an_unknown_outcome(cause: type[psycopg.Error]) -> None:
    assert message_of(cause("terminating connection")).endswith(
        "The outcome is unknown: the change may have been committed. Retry it; a create, with the same request_id."
    )


def test_an_overdue_response_has_an_unknown_outcome() -> None:
    message = message_of(psycopg.errors.ConnectionTimeout("no answer within 10 s"), invalidated=True)
    assert message.startswith("The database did not answer in time. The outcome is unknown:")


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (psycopg.errors.IdleInTransactionSessionTimeout, "The database waited too long for the next statement."),
        (psycopg.errors.TooManyConnections, "The database has too many connections."),
        (psycopg.errors.CannotConnectNow, "The database is starting or stopping."),
    ],
)
def test_a_connection_that_ends_before_the_statement_is_read_changed_nothing(
    cause: type[psycopg.Error], sentence: str
) -> None:
    assert message_of(cause("terminating"), invalidated=True) == f"{sentence} Nothing was changed; retry later."


@pytest.mark.parametrize(
    "cause",
    [
        psycopg.errors.UndefinedColumn,
        psycopg.errors.UntranslatableCharacter,
        psycopg.errors.InFailedSqlTransaction,
        psycopg.errors.ProgramLimitExceeded,
        psycopg.errors.ObjectNotInPrerequisiteState,
        psycopg.errors.InternalError_,
        psycopg.ProgrammingError,
    ],
)
def test_an_error_in_a_statement_is_raised_unchanged(cause: type[psycopg.Error]) -> None:
    with pytest.raises(sqlalchemy.exc.DBAPIError), database.unavailable():
        raise sqlalchemy.exc.DBAPIError("a statement", {}, cause("no"))


def test_an_exhausted_sequence_has_an_error_of_its_own() -> None:
    with pytest.raises(errors.TaskIdsExhausted), database.unavailable():
        raise sqlalchemy.exc.DBAPIError("", {}, psycopg.errors.SequenceGeneratorLimitExceeded("no more"))


@pytest.mark.parametrize("error", [sqlalchemy.exc.InvalidRequestError, KeyError])
def test_a_bug_is_not_hidden(error: type[Exception]) -> None:
    with pytest.raises(error), database.unavailable():
        raise error
