"""The channel's options: message sizes, keepalive, reconnecting, and which calls gRPC itself retries."""

import json

from duetime_client import proxy, request

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""More than a page of 100 tasks with the largest task_data and result."""

_TASKS = (
    # These only read. gRPC retries a watch until its first event; after that its own loop does.
    "GetTask",
    "GetTaskStatus",
    "ListTasks",
    "ListTaskLogs",
    "ExplainTask",
    "WatchTask",
    "WatchTasks",
    # These carry a request_id, the same in each attempt: a retry finds what the first attempt created.
    "CreateTask",
    "BatchCreateTasks",
    # Cancelling a cancelled task changes nothing and succeeds.
    "CancelTask",
)
# These read, or are idempotent.
_QUEUES = ("ListQueues", "GetQueue", "PauseQueue", "ResumeQueue", "ListQueueLogs", "ListWorkers")
_SCHEDULES = (
    "GetSchedule",
    "ListSchedules",
    "PreviewSchedule",
    "ListScheduleLogs",
    # These are idempotent.
    "PauseSchedule",
    "BackfillSchedule",
    "RecomputeSchedules",
    # These carry a request_id.
    "CreateSchedule",
    "TriggerSchedule",
)
# These read, or are idempotent.
_KEYS = ("ListKeys", "GetKey", "RevokeKey")
SAFE_METHODS = {
    "duetime.v1.TaskService": _TASKS,
    "duetime.v1.QueueService": _QUEUES,
    "duetime.v1.ScheduleService": _SCHEDULES,
    "duetime.v1.KeyService": _KEYS,
    "duetime.v1.AuditService": ("ListAuditEvents",),
}
"""Methods that are retried after UNAVAILABLE, when it is unknown whether the first attempt arrived. Not among them:

- UpdateTask: with a version, retrying an update that arrived would fail with VERSION_MISMATCH; without one, it could
  undo another caller's later change.
- DeleteTask, DeleteSchedule: retrying a delete that arrived would fail with TASK_NOT_FOUND or SCHEDULE_NOT_FOUND.
- RetryTask: the task may have run and failed again in between; a retry would run it once more than requested.
- CancelTasks, RetryTasks, DeleteTasks, MoveTasks: a retry would return how many were left, not how many were changed.
- CreateKey, RotateKey: a retry would create another key, and nobody would know the secret of the first.
- UpdateQueue, UpdateSchedule, ResumeSchedule: a retry could undo another caller's later change.

Their callers get Unavailable, and can read the task to decide. gRPC still retries them if it knows that the first
attempt never left this machine or was refused unread."""

PROBE = "/grpc.health.v1.Health/Check"
"""A method that every server permits, with an empty request."""
PROBE_SECONDS = 1.0
UNSHARED = ("grpc.use_local_subchannel_pool", 1)
"""The option of a channel that makes connections of its own."""

_RETRY_POLICY = {
    "maxAttempts": 5,
    # 0.1, 0.3, 0.9 and 2 s, with jitter: longer than Envoy takes to restart, and short enough for a person who waits
    # for the error.
    "initialBackoff": "0.1s",
    "backoffMultiplier": 3,
    "maxBackoff": "2s",
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def options(target: str) -> list[tuple[str, int | str]]:
    """Returns the options of a channel to the target."""
    service_config = {
        "methodConfig": [
            {
                "name": [
                    {"service": service, "method": method}
                    for service, methods in SAFE_METHODS.items()
                    for method in methods
                ],
                "retryPolicy": _RETRY_POLICY,
            }
        ]
    }
    return [
        ("grpc.service_config", json.dumps(service_config)),
        ("grpc.max_send_message_length", request.MAX_BYTES),
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        # A dead connection is detected within half a minute. Servers allow a ping every 10 s.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # Calls between two attempts to connect fail at once. gRPC's defaults are 1 s and 2 minutes; with these, the
        # last of the retries above reaches a server that has recovered, however long it was unavailable.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # Addresses on this machine never use a proxy, whatever the environment says.
        ("grpc.enable_http_proxy", int(proxy.is_used(target))),
    ]
