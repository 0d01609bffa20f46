"""The client's methods for many tasks at once."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, TypedDict, Unpack

from duetime.v1 import task_service_pb2
from duetime_client import async_io, errors, moment, request, scalar, task
from duetime_client._async import connection


class Filter(TypedDict, total=False):
    """Selects tasks by the filters of `list`; a task must match all that are given."""

    status: task.Status | Iterable[task.Status]
    queue: str
    name: str
    due_from: datetime.datetime
    due_before: datetime.datetime
    schedule_id: int
    concurrency_key: str
    request_id: str
    name_prefix: str


class AsyncBulk(connection.AsyncConnection):
    """The methods for many tasks at once.

    Each returns how many tasks it changed; it skips tasks whose status does not allow the change. Without a filter they
    fail with InvalidArgument, unless `all` is set. An error's `changed` is the number of tasks changed before it.
    """

    async def cancel_many(self, *, all: bool = False, **which: Unpack[Filter]) -> int:  # noqa: A002 - as the API has it
        """Cancels all matching tasks that are pending or running."""
        message = task_service_pb2.CancelTasksRequest(filter=request.task_filter(**which), all=all)
        return await self._change(self._open().tasks.CancelTasks, message)

    async def retry_many(self, *, all: bool = False, **which: Unpack[Filter]) -> int:  # noqa: A002
        """Makes all matching tasks that failed or were cancelled pending again, due now, with all their retries."""
        message = task_service_pb2.RetryTasksRequest(filter=request.task_filter(**which), all=all)
        return await self._change(self._open().tasks.RetryTasks, message)

    async def delete_many(self, *, all: bool = False, **which: Unpack[Filter]) -> int:  # noqa: A002
        """Deletes all matching tasks that are not running; their logs stay."""
        message = task_service_pb2.DeleteTasksRequest(filter=request.task_filter(**which), all=all)
        return await self._change(self._open().tasks.DeleteTasks, message)

    async def move_many(
        self,
        *,
        to_time: datetime.datetime | datetime.timedelta | None = None,
        to_queue: str | None = None,
        all: bool = False,  # noqa: A002
        **which: Unpack[Filter],
    ) -> int:
        """Moves all matching tasks that are pending to another time, another queue, or both.

        A timedelta counts from now by this machine's clock.
        """
        message = task_service_pb2.MoveTasksRequest(filter=request.task_filter(**which), all=all)
        scalar.filled(message, queue=to_queue)
        if to_time is not None:
            due = moment.absolute(to_time, datetime.datetime.now(datetime.UTC), "execution_time")
            message.execution_time.CopyFrom(moment.to_timestamp(due, "execution_time"))
        return await self._change(self._open().tasks.MoveTasks, message)

    async def _change(self, method: async_io.UnaryCall[Any, task_service_pb2.ChangedTasks], message: Any) -> int:
        changed = 0
        while True:
            try:
                answer = await self._call(method, message)
            except errors.DuetimeError as error:
                error.changed = changed
                raise
            changed += answer.count
            if not answer.has_more:
                return changed
