"""What callers are told of what PostgreSQL and its driver raise."""

import psycopg
import psycopg.errors
import pytest
import sqlalchemy.exc

from duetime_core.model import errors
from duetime_core.postgres import database


def told(cause: Exception, *, invalidated: bool = False) -> str:
    """Returns what a caller is told if a statement ends so."""
    with pytest.raises(errors.StoreUnavailable) as raised, database.unavailable():
        raise sqlalchemy.exc.DBAPIError("a statement", {}, cause, connection_invalidated=invalidated)
    return raised.value.message


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (psycopg.errors.DiskFull, "The database's disk is full; nothing was changed."),
        (psycopg.errors.QueryCanceled, "The database gave up, because it took too long; nothing was changed."),
        (psycopg.errors.OutOfMemory, "The database is out of memory; nothing was changed."),
        (psycopg.errors.TooManyConnections, "The database has too many connections; nothing was changed."),
        (psycopg.errors.ConfigurationLimitExceeded, "The database lacks resources; nothing was changed."),
        (psycopg.errors.LockNotAvailable, "The database waited too long for a lock; nothing was changed."),
        (psycopg.errors.DeadlockDetected, "Others were changing the same tasks; nothing was changed."),
        (psycopg.errors.SerializationFailure, "Others were changing the same tasks; nothing was changed."),
        (psycopg.errors.ReadOnlySqlTransaction, "The database is read-only, as a replica is; nothing was changed."),
        (psycopg.errors.CannotConnectNow, "The database is starting or stopping; nothing was changed."),
        (psycopg.errors.IoError, "The database's disk or system fails; nothing was changed."),
    ],
)
def test_what_may_work_later_is_unavailable_and_says_why(cause: type[psycopg.Error], sentence: str) -> None:
    assert told(cause("not now")).startswith(sentence)


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
    assert told(cause) == "The database cannot be reached; nothing was changed. Try again."


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
def test_what_was_going_on_when_the_connection_was_lost_has_an_unknown_end(cause: psycopg.Error) -> None:
    message = told(cause, invalidated=True)
    assert message.startswith("The connection to the database was lost. Whether a change was made is not known")


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
def test_what_always_ends_the_connection_has_an_unknown_end_too(cause: type[psycopg.Error]) -> None:
    assert told(cause("terminating connection")).endswith(
        "Whether a change was made is not known: look, or create again with the same request_id."
    )


def test_an_answer_that_is_overdue_has_an_unknown_end() -> None:
    message = told(psycopg.errors.ConnectionTimeout("no answer within 10 s"), invalidated=True)
    assert message.startswith("The database did not answer in time. Whether a change was made is not known")


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (psycopg.errors.IdleInTransactionSessionTimeout, "The database waited too long for the next statement;"),
        (psycopg.errors.TooManyConnections, "The database has too many connections;"),
        (psycopg.errors.CannotConnectNow, "The database is starting or stopping;"),
    ],
)
def test_what_ends_a_connection_before_it_reads_the_statement_changed_nothing(
    cause: type[psycopg.Error], sentence: str
) -> None:
    assert told(cause("terminating"), invalidated=True) == f"{sentence} nothing was changed. Try again."


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
def test_what_is_wrong_with_a_statement_stays_what_it_is(cause: type[psycopg.Error]) -> None:
    with pytest.raises(sqlalchemy.exc.DBAPIError), database.unavailable():
        raise sqlalchemy.exc.DBAPIError("a statement", {}, cause("no"))


def test_a_sequence_that_is_used_up_is_told_as_such() -> None:
    with pytest.raises(errors.TaskIdsExhausted), database.unavailable():
        raise sqlalchemy.exc.DBAPIError("", {}, psycopg.errors.SequenceGeneratorLimitExceeded("no more"))


@pytest.mark.parametrize("error", [sqlalchemy.exc.InvalidRequestError, KeyError])
def test_mistakes_of_ours_are_not_hidden(error: type[Exception]) -> None:
    with pytest.raises(error), database.unavailable():
        raise error
