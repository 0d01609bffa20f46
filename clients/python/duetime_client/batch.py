"""Splits many new tasks into requests within the server's limits."""

import re
from collections.abc import Iterable, Iterator

from duetime.v1 import task_service_pb2
from duetime_client import errors, request

MAX_TASKS = 1_000
# A member's tag, and its length in four bytes, which hold up to 256 MiB.
_OVERHEAD = 5


def split(
    requests: Iterable[task_service_pb2.CreateTaskRequest],
) -> Iterator[task_service_pb2.BatchCreateTasksRequest]:
    """Yields the requests, in order, in batches of at most 1,000 tasks and 1 MiB."""
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


def shift_indexes(error: errors.DuetimeError, offset: int) -> None:
    """Makes the indexes in a batch's error, such as `requests[3].name`, count from the first task of all batches."""
    if isinstance(error, errors.InvalidArgument):
        error.violations = tuple(
            errors.Violation(_shifted(violation.field, offset), violation.description) for violation in error.violations
        )
        error.args = (_shifted(error.message, offset),)


def _shifted(text: str, offset: int) -> str:
    return re.sub(r"\brequests\[(\d+)\]", lambda match: f"requests[{int(match[1]) + offset}]", text)
