"""How the channel to the server behaves: sizes, keepalive, reconnecting and what gRPC itself repeats."""

import json

from duetime_client import proxy, request

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""A page of 100 tasks with the largest task_data and result stays below it."""

_TASKS = (
    # These only read. A watch is repeated here until its first event, and by its own loop after that.
    "GetTask",
    "GetTaskStatus",
    "ListTasks",
    "ListTaskLogs",
    "WatchTask",
    "WatchTasks",
    # These carry a request_id, the same in each attempt: a second one finds what the first one made.
    "CreateTask",
    "BatchCreateTasks",
    # Cancelling a cancelled task changes nothing and succeeds.
    "CancelTask",
    "ExplainTask",
)
# These read, or ask for a state that they may find already.
_QUEUES = ("ListQueues", "GetQueue", "PauseQueue", "ResumeQueue", "ListQueueLogs", "ListWorkers")
_SCHEDULES = (
    "GetSchedule",
    "ListSchedules",
    "PreviewSchedule",
    "ListScheduleLogs",
    # These read, or ask for a state that they may find already.
    "PauseSchedule",
    "BackfillSchedule",
    "RecomputeSchedules",
    # These carry a request_id.
    "CreateSchedule",
    "TriggerSchedule",
)
SAFE_METHODS = {
    "duetime.v1.TaskService": _TASKS,
    "duetime.v1.QueueService": _QUEUES,
    "duetime.v1.ScheduleService": _SCHEDULES,
}
"""What may be sent again when UNAVAILABLE leaves open whether the first attempt arrived. Not among them:

- UpdateTask: with a version, the repetition of an update that arrived would answer VERSION_MISMATCH;
  without one, it could undo what somebody else changed in between.
- DeleteTask: the repetition of one that arrived would answer TASK_NOT_FOUND. So with schedules.
- RetryTask: the task may have run and failed again in between; the repetition would run it
  once more than was asked.
- CancelTasks and its like: the repetition would answer how many were left, not how many were changed.
- UpdateQueue, UpdateSchedule, ResumeSchedule: they could undo what somebody else changed in between.

Their callers get Unavailable and can look at the task to decide. gRPC still repeats them when it knows that
the first attempt never left this machine or was refused unread."""

_RETRY_POLICY = {
    "maxAttempts": 5,
    # 0.1, 0.3, 0.9 and 2 s, with jitter: longer than Envoy is gone when it restarts, and short enough for
    # somebody who waits to hear that nobody is there.
    "initialBackoff": "0.1s",
    "backoffMultiplier": 3,
    "maxBackoff": "2s",
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def options(target: str) -> list[tuple[str, int | str]]:
    """Returns the arguments of a channel to the target."""
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
        # A dead connection is noticed within half a minute. Servers allow a ping each 10 s.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # Calls in between fail without trying. gRPC's own are 1 s and 2 minutes; with these, the last of the
        # attempts above finds a server that is back, however long it was gone.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # Nothing on this machine is reached through a proxy, whatever the environment says.
        ("grpc.enable_http_proxy", int(proxy.is_used(target))),
    ]
