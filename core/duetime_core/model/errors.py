"""One tree of errors. A class's docstring is its default message; callers may match on its `reason`."""

import dataclasses
from collections.abc import Sequence


class DuetimeError(Exception):
    """An internal error occurred."""

    reason = "INTERNAL"

    def __init__(self, message: str | None = None, **metadata: str) -> None:
        super().__init__(message or type(self).__doc__)
        self.metadata = metadata

    @property
    def message(self) -> str:
        """One sentence for people."""
        return str(self)


@dataclasses.dataclass(frozen=True)
class Violation:
    """One invalid field: its path in the request, such as `retry_policy.jitter`, and what would be valid."""

    field: str
    description: str


class InvalidArgument(DuetimeError):
    """The request is invalid."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, *violations: Violation, more: int = 0) -> None:
        lines = [f"{each.field}: {each.description}" if each.field else each.description for each in violations]
        super().__init__("; ".join([*lines, f"and {more} more"] if more else lines))
        self.violations = violations


class TaskNotFound(DuetimeError):
    """There is no such task."""

    reason = "TASK_NOT_FOUND"

    @classmethod
    def of(cls, task_id: int) -> "TaskNotFound":
        """Returns the error that names the task."""
        return cls(f"There is no task {task_id}.", task_id=str(task_id))


class QueueNotFound(DuetimeError):
    """There is no such queue."""

    reason = "QUEUE_NOT_FOUND"

    @classmethod
    def of(cls, name: str) -> "QueueNotFound":
        """Returns the error that names the queue."""
        return cls(
            f"There is no queue {name!r}: it has no unfinished task and no live worker, and is not limited.", queue=name
        )


class ScheduleNotFound(DuetimeError):
    """There is no such schedule."""

    reason = "SCHEDULE_NOT_FOUND"

    @classmethod
    def of(cls, schedule_id: int) -> "ScheduleNotFound":
        """Returns the error that names the schedule."""
        return cls(f"There is no schedule {schedule_id}.", schedule_id=str(schedule_id))


class StateConflict(DuetimeError):
    """The state of the task or schedule does not allow this."""


class ScheduleUnreadable(StateConflict):
    """The schedule uses a feature that this release does not support."""

    reason = "SCHEDULE_UNREADABLE"

    @classmethod
    def of(cls, schedule_id: int, cause: Exception) -> "ScheduleUnreadable":
        """Returns the error that names the schedule and the cause."""
        return cls(
            f"Schedule {schedule_id} uses a feature that this release does not support: {cause}. It can be deleted.",
            schedule_id=str(schedule_id),
        )


class TaskNotPending(StateConflict):
    """Only a pending task can be updated."""

    reason = "TASK_NOT_PENDING"


class TaskRunning(StateConflict):
    """A running task cannot be deleted; cancel it first."""

    reason = "TASK_RUNNING"


class TaskFinished(StateConflict):
    """A task that has completed or failed cannot be cancelled."""

    reason = "TASK_FINISHED"


class TaskNotRetryable(StateConflict):
    """Only a failed or cancelled task can be retried."""

    reason = "TASK_NOT_RETRYABLE"


class ApiKeyNotFound(DuetimeError):
    """There is no such API key."""

    reason = "API_KEY_NOT_FOUND"

    @classmethod
    def of(cls, key_id: str) -> "ApiKeyNotFound":
        """Returns the error that names the key."""
        return cls(f"There is no API key {key_id}.", key_id=key_id)


class ApiKeyNotInForce(StateConflict):
    """The API key has expired, or was rotated or revoked."""

    reason = "API_KEY_NOT_IN_FORCE"


class LastAdminKey(StateConflict):
    """This is the last admin key: create another one that is accepted for at least a day, then revoke this one."""

    reason = "LAST_ADMIN_KEY"


class GrantExceeded(DuetimeError):
    """The API key permits more than the caller may do."""

    reason = "GRANT_EXCEEDED"

    @classmethod
    def of(cls, what: str, fields: Sequence[str]) -> "GrantExceeded":
        """Returns the error that names the fields; `what` is to create, rotate or revoke."""
        named = ", ".join(fields)
        return cls(f"Nobody can {what} an API key that permits more than they may do, here by {named}.", fields=named)


class VersionMismatch(DuetimeError):
    """The version does not match: the task was changed since."""

    reason = "VERSION_MISMATCH"


class RequestIdTaken(DuetimeError):
    """The request_id is already used."""


class RequestIdReused(RequestIdTaken):
    """The request_id is already used by a different request."""

    reason = "REQUEST_ID_REUSED"


class RequestIdOfDeletedTask(RequestIdTaken):
    """The request_id belongs to a deleted task."""

    reason = "REQUEST_ID_OF_DELETED_TASK"


class RequestIdOfCancelledTask(RequestIdTaken):
    """The request_id belongs to a cancelled task."""

    reason = "REQUEST_ID_OF_CANCELLED_TASK"


class RequestIdOfDeletedSchedule(RequestIdTaken):
    """The request_id belongs to a deleted schedule."""

    reason = "REQUEST_ID_OF_DELETED_SCHEDULE"


class TaskIdsExhausted(DuetimeError):
    """All 4,294,967,295 task ids are used."""

    reason = "TASK_IDS_EXHAUSTED"


class WatcherTooSlow(DuetimeError):
    """The client did not read the watch for too long. Resume with a new watch and the cursor of the last event."""

    reason = "WATCHER_TOO_SLOW"


class ServerBusy(DuetimeError):
    """The server is handling as many calls of this kind as it can. Nothing was changed; retry later."""

    reason = "SERVER_BUSY"
    retry_seconds = 1.0
    """How long a caller should wait before it retries."""


class CallRateExceeded(ServerBusy):
    """The caller makes more calls than it may. Nothing was changed; retry later."""

    reason = "CALL_RATE_EXCEEDED"

    def __init__(self, message: str | None = None, *, retry_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class TooManyCalls(ServerBusy):
    """The caller has as many calls in progress, or watches open, as it may. Nothing was changed; retry later."""

    reason = "TOO_MANY_CALLS"


class Unauthenticated(DuetimeError):
    """The server requires an API key: send it in the header 'authorization: Bearer dt_…'."""

    reason = "CREDENTIALS_MISSING"


class CredentialsInvalid(Unauthenticated):
    """The API key is not valid: it is unknown, expired or revoked."""

    reason = "CREDENTIALS_INVALID"


class PermissionDenied(DuetimeError):
    """The caller may not do this."""

    reason = "PERMISSION_DENIED"


class StoreUnavailable(DuetimeError):
    """The database is unavailable. Nothing was changed; retry later."""

    reason = "STORE_UNAVAILABLE"


class IssuerUnavailable(DuetimeError):
    """The issuer of the access token is unavailable, and the server does not know its keys. Retry later."""

    reason = "ISSUER_UNAVAILABLE"


class QueueBusy(DuetimeError):
    """Another transaction has locked the queue."""

    reason = "QUEUE_BUSY"


class LogBusy(DuetimeError):
    """Another transaction is using the log or its partitions, so they cannot be changed now."""

    reason = "LOG_BUSY"
