"""Cuts many new tasks into requests that the server takes."""

import re
from collections.abc import Iterable, Iterator

from duetime.v1 import task_service_pb2
from duetime_client import errors, request

MAX_TASKS = 1_000
# A member's tag and the four bytes that hold the length of up to 256 MiB.
_OVERHEAD = 5


def cut(
    requests: Iterable[task_service_pb2.CreateTaskRequest],
) -> Iterator[task_service_pb2.BatchCreateTasksRequest]:
    """Yields the requests, in order, as batches of at most 1,000 tasks and 1 MiB."""
    batch: list[task_service_pb2.CreateTaskRequest] = []
    size = 0
    for member in requests:
        member_size = member.ByteSize() + _OVERHEAD
        if batch and (len(batch) == MAX_TASKS or size + member_size > request.MAX_BYTES):
            yield task_service_pb2.BatchCreateTasksRequest(requests=batch)
            batch, size = [], 0
        batch.append(member)
        size += member_size
    if batch:
        yield task_service_pb2.BatchCreateTasksRequest(requests=batch)


def shift(error: errors.DuetimeError, offset: int) -> None:
    """Makes the `requests[3].name` that the server saw in a batch count from the first task of all."""
    if isinstance(error, errors.InvalidArgument):
        error.violations = tuple(
            errors.Violation(_shifted(violation.field, offset), violation.description) for violation in error.violations
        )
        error.args = (_shifted(error.message, offset),)


def _shifted(text: str, offset: int) -> str:
    return re.sub(r"\brequests\[(\d+)\]", lambda match: f"requests[{int(match[1]) + offset}]", text)
