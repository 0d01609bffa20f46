"""One tree of errors. A class's docstring is its default message; programs match on `reason`."""

from __future__ import annotations

import datetime
import types
from collections.abc import Mapping
from typing import NamedTuple

import grpc

from duetime_client import task


class Violation(NamedTuple):
    """One invalid field: its path in the request, such as `task_data.order.id`, and what would be right."""

    field: str
    description: str


class DuetimeError(Exception):
    """The request failed."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    """The gRPC status code."""
    reason: str = "UNKNOWN"
    """What happened, such as `TASK_NOT_FOUND`; the name of the code if the server gave no reason."""

    def __init__(
        self,
        message: str | None = None,
        *,
        code: grpc.StatusCode | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] = types.MappingProxyType({}),
    ) -> None:
        super().__init__(message or type(self).__doc__)
        self.code = code or type(self).code
        self.reason = reason or type(self).reason
        self.metadata: dict[str, str] = dict(metadata)
        """Details of the reason, such as `{"status": "running"}` of TASK_NOT_PENDING."""
        self.created: tuple[int, ...] = ()
        """Of create_many: the ids of the tasks that exist, in the order requested."""
        self.changed: int = 0
        """Of cancel_many and the other bulk methods: how many tasks were changed before the failure."""
        self.remaining: tuple[task.NewTask, ...] = ()
        """Of create and create_many: the tasks that may not exist, each with a request_id and an absolute time.
        `create_many(error.remaining)` creates them, and nothing twice."""

    @property
    def message(self) -> str:
        """A sentence for people."""
        return str(self)

    @property
    def request_id(self) -> str | None:
        """Of create: the request_id that was sent, also if the client generated it."""
        return self.remaining[0].request_id if self.remaining else None


class InvalidArgument(DuetimeError, ValueError):
    """The request is invalid."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"

    def __init__(
        self,
        *violations: Violation,
        message: str | None = None,
        metadata: Mapping[str, str] = types.MappingProxyType({}),
    ) -> None:
        super().__init__(message or "; ".join(f"{field}: {text}" for field, text in violations), metadata=metadata)
        self.violations = violations


def invalid(field: str, description: str) -> InvalidArgument:
    """Returns the error for one invalid field."""
    return InvalidArgument(Violation(field, description))


class NotFound(DuetimeError):
    """There is no such resource."""

    code = grpc.StatusCode.NOT_FOUND


class TaskNotFound(NotFound):
    """There is no such task."""

    reason = "TASK_NOT_FOUND"


class QueueNotFound(NotFound):
    """There is no such queue: it has no unfinished task and no live worker, and is not limited."""

    reason = "QUEUE_NOT_FOUND"


class ScheduleNotFound(NotFound):
    """There is no such schedule."""

    reason = "SCHEDULE_NOT_FOUND"


class ApiKeyNotFound(NotFound):
    """There is no such API key."""

    reason = "API_KEY_NOT_FOUND"


class StateConflict(DuetimeError):
    """The task's status does not allow the change; `metadata["status"]` has the status."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class TaskNotPending(StateConflict):
    """Only a pending task can be updated."""

    reason = "TASK_NOT_PENDING"


class TaskRunning(StateConflict):
    """A running task cannot be deleted; cancel it first."""

    reason = "TASK_RUNNING"


class TaskFinished(StateConflict):
    """A completed or failed task cannot be cancelled."""

    reason = "TASK_FINISHED"


class TaskNotRetryable(StateConflict):
    """Only a failed or cancelled task can be retried."""

    reason = "TASK_NOT_RETRYABLE"


class ApiKeyNotInForce(StateConflict):
    """The API key has expired, or was rotated or revoked."""

    reason = "API_KEY_NOT_IN_FORCE"


class LastAdminKey(StateConflict):
    """This is the last admin key: create another one first."""

    reason = "LAST_ADMIN_KEY"


class GrantExceeded(DuetimeError):
    """The API key permits more than the caller may do; `metadata["fields"]` names by what."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "GRANT_EXCEEDED"


class VersionMismatch(DuetimeError):
    """The version is not current; `metadata["version"]` has the current one."""

    code = grpc.StatusCode.ABORTED
    reason = "VERSION_MISMATCH"


class RequestIdTaken(DuetimeError):
    """The request_id was used before; `metadata["task_id"]` or `metadata["schedule_id"]` has what it created."""

    code = grpc.StatusCode.ALREADY_EXISTS


class RequestIdReused(RequestIdTaken):
    """The request_id was used before, for a different request."""

    reason = "REQUEST_ID_REUSED"


class RequestIdOfDeletedTask(RequestIdTaken):
    """The request_id was used for a task that was deleted."""

    reason = "REQUEST_ID_OF_DELETED_TASK"


class RequestIdOfCancelledTask(RequestIdTaken):
    """The request_id was used for a task that was cancelled: retry that task, or use another request_id."""

    reason = "REQUEST_ID_OF_CANCELLED_TASK"


class RequestIdOfDeletedSchedule(RequestIdTaken):
    """The request_id was used for a schedule that was deleted."""

    reason = "REQUEST_ID_OF_DELETED_SCHEDULE"


class TaskIdsExhausted(DuetimeError):
    """All 4,294,967,295 task ids are used."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "TASK_IDS_EXHAUSTED"


class ServerBusy(DuetimeError):
    """The server handles as many calls of this kind as it can. Nothing was changed; retry after `retry_after`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "SERVER_BUSY"
    retry_after: datetime.timedelta = datetime.timedelta(seconds=1)
    """How long to wait before a retry: the server's RetryInfo."""


class CallRateExceeded(ServerBusy):
    """The caller, or its address, makes more calls than it may. Nothing was changed; retry after `retry_after`."""

    reason = "CALL_RATE_EXCEEDED"


class TooManyCalls(ServerBusy):
    """The caller has as many calls in progress, or watches open, as it may. Nothing was changed; retry later."""

    reason = "TOO_MANY_CALLS"


class Unauthenticated(DuetimeError):
    """The server requires an API key, and the one that was sent is missing, unknown, expired or revoked."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class PermissionDenied(DuetimeError):
    """The API key does not permit this; `metadata` has its role and the method, or the handler or queue."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class DecryptionFailed(DuetimeError):
    """A payload cannot be decrypted: its key is not in the codec, or it was encrypted for another handler."""

    reason = "DECRYPTION_FAILED"


class Unavailable(DuetimeError):
    """The server or its database cannot be reached. Retry."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "UNAVAILABLE"


class TlsFailed(Unavailable):
    """The server's certificate is refused, or the server does not use TLS. A retry does not help."""

    reason = "TLS_FAILED"


class DeadlineExceeded(DuetimeError):
    """There was no response in time. The outcome is unknown: a change may have been committed."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
