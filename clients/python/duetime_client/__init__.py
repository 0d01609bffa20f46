"""Duetime's typed Python client.

    import datetime
    import duetime_client

    async with duetime_client.AsyncClient("127.0.0.1:8080") as client:
        task_id = await client.create("Send Email", datetime.timedelta(seconds=2), {"email": "a@example.com"})
        async for event in client.watch(task_id):
            print(event.change.status)

`Client` is the same without `async` and `await`. The public API is what this module exports; the rest may change.
"""

from duetime_client._async.client import AsyncClient
from duetime_client._async.task_watch import AsyncWatch
from duetime_client._sync.client import Client
from duetime_client._sync.task_watch import Watch
from duetime_client.audit import AuditEvent, AuditKind
from duetime_client.errors import (
    ApiKeyNotFound,
    ApiKeyNotInForce,
    CallRateExceeded,
    DeadlineExceeded,
    DecryptionFailed,
    DuetimeError,
    GrantExceeded,
    InvalidArgument,
    LastAdminKey,
    NotFound,
    PermissionDenied,
    QueueNotFound,
    RequestIdOfCancelledTask,
    RequestIdOfDeletedSchedule,
    RequestIdOfDeletedTask,
    RequestIdReused,
    RequestIdTaken,
    ScheduleNotFound,
    ServerBusy,
    StateConflict,
    TaskFinished,
    TaskIdsExhausted,
    TaskNotFound,
    TaskNotPending,
    TaskNotRetryable,
    TaskRunning,
    TlsFailed,
    TooManyCalls,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
    Violation,
)
from duetime_client.explanation import Explanation, Reason
from duetime_client.key import ApiKey, CreatedKey, Role, RotatedKey
from duetime_client.queue import FieldChange, Queue, QueueLog, Worker
from duetime_client.request import UNSET, OrderBy, Unset
from duetime_client.schedule import Blackout, PreviewedTime, Recomputed, Schedule, ScheduleLog, TaskTemplate
from duetime_client.task import LocalTime, NewTask, RetryPolicy, Status, Task
from duetime_client.task_log import TaskEvent, TaskLog
from duetime_payloads import PayloadCodec

__all__ = [
    "UNSET",
    "ApiKey",
    "ApiKeyNotFound",
    "ApiKeyNotInForce",
    "AsyncClient",
    "AsyncWatch",
    "AuditEvent",
    "AuditKind",
    "Blackout",
    "CallRateExceeded",
    "Client",
    "CreatedKey",
    "DeadlineExceeded",
    "DecryptionFailed",
    "DuetimeError",
    "Explanation",
    "FieldChange",
    "GrantExceeded",
    "InvalidArgument",
    "LastAdminKey",
    "LocalTime",
    "NewTask",
    "NotFound",
    "OrderBy",
    "PayloadCodec",
    "PermissionDenied",
    "PreviewedTime",
    "Queue",
    "QueueLog",
    "QueueNotFound",
    "Reason",
    "Recomputed",
    "RequestIdOfCancelledTask",
    "RequestIdOfDeletedSchedule",
    "RequestIdOfDeletedTask",
    "RequestIdReused",
    "RequestIdTaken",
    "RetryPolicy",
    "Role",
    "RotatedKey",
    "Schedule",
    "ScheduleLog",
    "ScheduleNotFound",
    "ServerBusy",
    "StateConflict",
    "Status",
    "Task",
    "TaskEvent",
    "TaskFinished",
    "TaskIdsExhausted",
    "TaskLog",
    "TaskNotFound",
    "TaskNotPending",
    "TaskNotRetryable",
    "TaskRunning",
    "TaskTemplate",
    "TlsFailed",
    "TooManyCalls",
    "Unauthenticated",
    "Unavailable",
    "Unset",
    "VersionMismatch",
    "Violation",
    "Watch",
    "Worker",
]
