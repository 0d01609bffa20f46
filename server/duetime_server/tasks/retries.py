"""Reads how often and when a task is retried, the one place for every request."""

from duetime.v1 import schedule_pb2, task_pb2, task_service_pb2
from duetime_core.model import task
from duetime_server.rpc import fields, violations

Request = task_service_pb2.CreateTaskRequest | task_service_pb2.UpdateTaskRequest | schedule_pb2.TaskTemplate


def read(request: Request, default: task.Retries) -> task.Retries:
    """Returns the retries of a request that was checked before, completed from `default`."""
    problems = violations.Violations()
    return task.Retries(
        max_retries(request, default.max_retries, problems),
        policy(request.retry_policy, default.retry_policy, problems),
    )


def max_retries(request: Request, default: int, problems: violations.Violations) -> int:
    """Reads max_retries."""
    if not request.HasField("max_retries"):
        return default
    if request.max_retries > task.MAX_RETRIES:
        problems.add("max_retries", f"must be from 0 to {task.MAX_RETRIES}, not {request.max_retries}")
    return request.max_retries


def policy(given: task_pb2.RetryPolicy, default: task.RetryPolicy, problems: violations.Violations) -> task.RetryPolicy:
    """Reads a retry policy, completed from `default`."""
    initial_backoff, max_backoff = default.initial_backoff, default.max_backoff
    multiplier, jitter = default.multiplier, default.jitter
    if given.HasField("initial_backoff"):
        field = "retry_policy.initial_backoff"
        initial_backoff = fields.period(given.initial_backoff, field, problems, longest=task.MAX_BACKOFF)
        max_backoff = max(max_backoff, initial_backoff)
    if given.HasField("max_backoff"):
        field = "retry_policy.max_backoff"
        max_backoff = fields.period(given.max_backoff, field, problems, longest=task.MAX_BACKOFF)
        if not given.HasField("initial_backoff"):
            initial_backoff = min(initial_backoff, max_backoff)
        if max_backoff < initial_backoff:
            problems.add(field, "must not be shorter than initial_backoff")
    if given.HasField("multiplier"):
        multiplier = given.multiplier
        if not 1 <= multiplier <= task.MAX_MULTIPLIER:
            problems.add("retry_policy.multiplier", f"must be from 1 to {task.MAX_MULTIPLIER}, not {multiplier:g}")
    if given.HasField("jitter"):
        jitter = given.jitter
        if not 0 <= jitter <= 1:
            problems.add("retry_policy.jitter", f"must be from 0 to 1, not {jitter:g}")
    return task.RetryPolicy(initial_backoff, max_backoff, multiplier, jitter)
