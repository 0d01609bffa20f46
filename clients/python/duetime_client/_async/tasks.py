"""The client's methods for tasks."""

from __future__ import annotations

import builtins
import datetime
from collections.abc import AsyncIterator, Iterable, Mapping

from duetime.v1 import task_service_pb2
from duetime_client import (
    async_io,
    batch,
    credentials,
    errors,
    explanation,
    request,
    response,
    scalar,
    task,
    task_log,
)
from duetime_client._async import connection, task_watch

_PAGE_SIZE = 100
_LOG_PAGE_SIZE = 1_000


class AsyncTasks(connection.AsyncConnection):
    """The methods for tasks."""

    async def create(
        self,
        name: str,
        execution_time: task.When,
        task_data: Mapping[str, object] | None = None,
        *,
        queue: str | None = None,
        max_retries: int | None = None,
        retry_policy: task.RetryPolicy | None = None,
        timeout: datetime.timedelta | None = None,
        request_id: str | None = None,
        priority: int | None = None,
        concurrency_key: str | None = None,
    ) -> int:
        """Creates a task and returns its task_id. The arguments are those of NewTask.

        A timedelta as `execution_time` counts from now by this machine's clock. Fails with RequestIdReused, or with
        RequestIdOfCancelledTask or RequestIdOfDeletedTask if its task was cancelled or deleted since. After Unavailable
        or DeadlineExceeded the task may exist: retry with `create_many(error.remaining)`, or with the same arguments,
        an absolute time and `error.request_id`. Neither creates it twice.
        """
        new = task.NewTask(
            name,
            execution_time,
            task_data,
            queue,
            max_retries,
            retry_policy,
            timeout,
            request_id,
            priority,
            concurrency_key,
        )
        new = request.resolved(new, datetime.datetime.now(datetime.UTC))
        message = self._payloads.sealed(request.create_task(new), request_id=new.request_id)
        try:
            answer = await self._call(self._open().tasks.CreateTask, message)
        except errors.DuetimeError as error:
            error.remaining = (new,)
            raise
        return answer.task_id

    async def create_many(self, tasks: Iterable[task.NewTask]) -> builtins.list[int]:
        """Creates tasks and returns their task_ids, in order.

        All are checked before the first is sent. They are sent in batches of at most 1,000 tasks and 1 MiB; each batch
        is created as a whole or not at all, but several batches are not one transaction. If one fails, the error's
        `created` has the tasks that exist and `remaining` those that may not: retry with
        `create_many(error.remaining)`, which creates nothing twice. Fails as create does.
        """
        remaining, messages = request.create_tasks(tasks, datetime.datetime.now(datetime.UTC))
        for index, message in enumerate(messages):
            self._payloads.sealed(message, f"requests[{index}].", request_id=message.request_id)
        created: builtins.list[int] = []
        for requests in batch.split(messages):
            try:
                answer = await self._call(self._open().tasks.BatchCreateTasks, requests)
            except errors.DuetimeError as error:
                batch.shift_indexes(error, len(created))
                error.created = tuple(created)
                error.remaining = tuple(remaining[len(created) :])
                raise
            created.extend(answer.task_ids)
        return created

    async def get(self, task_id: int) -> task.Task:
        """Returns a task. Fails with TaskNotFound, also if it was deleted."""
        message = task_service_pb2.GetTaskRequest(task_id=request.checked_task_id(task_id))
        return self._payloads.task(await self._call(self._open().tasks.GetTask, message))

    async def status(self, task_id: int) -> task.Status:
        """Returns a task's status alone. Fails as get does."""
        message = task_service_pb2.GetTaskStatusRequest(task_id=request.checked_task_id(task_id))
        answer = await self._call(self._open().tasks.GetTaskStatus, message)
        return response.status(answer.status)

    async def explain(self, task_id: int) -> explanation.Explanation:
        """Returns why a task does not run. Fails as get does."""
        message = task_service_pb2.ExplainTaskRequest(task_id=request.checked_task_id(task_id))
        answer = await self._call(self._open().tasks.ExplainTask, message)
        reasons = tuple(explanation.Reason(reason.code, reason.message) for reason in answer.reasons)
        return explanation.Explanation(answer.task_id, response.status(answer.status), reasons)

    async def list(
        self,
        *,
        status: task.Status | Iterable[task.Status] = (),
        queue: str | None = None,
        name: str | None = None,
        due_from: datetime.datetime | None = None,
        due_before: datetime.datetime | None = None,
        schedule_id: int | None = None,
        concurrency_key: str | None = None,
        request_id: str | None = None,
        name_prefix: str | None = None,
        order_by: request.OrderBy = "execution_time",
    ) -> AsyncIterator[task.Task]:
        """Iterates over the tasks that match all filters: in one of these statuses, due from `due_from` on and before
        `due_before`, and so on; reads a page at a time, as needed.
        """
        message = request.list_tasks(
            status,
            order_by,
            _PAGE_SIZE,
            queue=queue,
            name=name,
            due_from=due_from,
            due_before=due_before,
            schedule_id=schedule_id,
            concurrency_key=concurrency_key,
            request_id=request_id,
            name_prefix=name_prefix,
        )
        while True:
            page = await self._call(self._open().tasks.ListTasks, message)
            for member in page.tasks:
                yield self._payloads.task(member)
            if not page.next_page_token:
                return
            message.page_token = page.next_page_token

    async def update(
        self,
        task_id: int,
        *,
        name: str | request.Unset = request.UNSET,
        execution_time: task.When | request.Unset = request.UNSET,
        task_data: Mapping[str, object] | request.Unset | None = request.UNSET,
        queue: str | request.Unset | None = request.UNSET,
        max_retries: int | request.Unset | None = request.UNSET,
        retry_policy: task.RetryPolicy | request.Unset | None = request.UNSET,
        timeout: datetime.timedelta | request.Unset | None = request.UNSET,
        priority: int | request.Unset | None = request.UNSET,
        concurrency_key: str | request.Unset | None = request.UNSET,
        version: int | None = None,
    ) -> None:
        """Changes the given fields of a pending task. None resets a field to its default: `timeout=None` removes it.

        A client with a codec changes `name` and `task_data` together, because the data is encrypted for the name. Fails
        with TaskNotFound, TaskNotPending, or VersionMismatch if `version` is given and is not current. After
        Unavailable or DeadlineExceeded the outcome is unknown: the change may have been committed.
        """
        changes = {
            "name": name,
            "execution_time": execution_time,
            "task_data": task_data,
            "queue": queue,
            "max_retries": max_retries,
            "retry_policy": retry_policy,
            "timeout": timeout,
            "priority": priority,
            "concurrency_key": concurrency_key,
        }
        now = datetime.datetime.now(datetime.UTC)
        message = self._payloads.sealed_update(request.update_task(task_id, changes, version, now))
        await self._call(self._open().tasks.UpdateTask, message)

    async def delete(self, task_id: int) -> None:
        """Deletes a task; its log stays. Fails with TaskNotFound, or TaskRunning: cancel it first."""
        message = task_service_pb2.DeleteTaskRequest(task_id=request.checked_task_id(task_id))
        await self._call(self._open().tasks.DeleteTask, message)

    async def cancel(self, task_id: int) -> task.Task:
        """Cancels a pending or running task and returns it. Idempotent. Fails with TaskNotFound or TaskFinished."""
        message = task_service_pb2.CancelTaskRequest(task_id=request.checked_task_id(task_id))
        return self._payloads.task(await self._call(self._open().tasks.CancelTask, message), is_lenient=True)

    async def retry(self, task_id: int) -> task.Task:
        """Makes a failed or cancelled task pending again, due now, with all its retries, and returns it.

        Fails with TaskNotFound or TaskNotRetryable. After Unavailable or DeadlineExceeded the outcome is unknown: the
        change may have been committed.
        """
        message = task_service_pb2.RetryTaskRequest(task_id=request.checked_task_id(task_id))
        return self._payloads.task(await self._call(self._open().tasks.RetryTask, message), is_lenient=True)

    async def logs(self, task_id: int) -> AsyncIterator[task_log.TaskLog]:
        """Iterates over a task's history, oldest first, even if it was deleted. Fails with TaskNotFound."""
        message = task_service_pb2.ListTaskLogsRequest(
            task_id=request.checked_task_id(task_id), page_size=_LOG_PAGE_SIZE
        )
        while True:
            page = await self._call(self._open().tasks.ListTaskLogs, message)
            for row in page.logs:
                yield response.to_task_log(row)
            if not page.next_page_token:
                return
            message.page_token = page.next_page_token

    def watch(self, task_id: int, cursor: str | None = None) -> task_watch.AsyncWatch:
        """Iterates over a task's changes: first its current state (with the `cursor` of an event: every change since),
        then each change as it is committed. Ends once the task is completed, failed, cancelled or deleted.

        Fails, while iterating, with TaskNotFound.
        """
        message = task_service_pb2.WatchTaskRequest(task_id=request.checked_task_id(task_id))

        def open_stream(cursor: str, metadata: credentials.Metadata) -> async_io.EventStream:
            scalar.filled(message, cursor=cursor)
            return async_io.EventStream(self._open().tasks.WatchTask(message, metadata=metadata))

        return self._watch(open_stream, cursor, starts_now=False)

    def watch_all(
        self,
        *,
        status: task.Status | Iterable[task.Status] = (),
        queue: str | None = None,
        name: str | None = None,
        cursor: str | None = None,
    ) -> task_watch.AsyncWatch:
        """Iterates over the changes of all tasks of this queue and name to one of these statuses, as they are
        committed: from now on or, with the `cursor` of an event, from right after it. Does not end by itself.

        Entering its `with` block waits until the watch has started. So tasks listed inside the block, together with
        events of a higher version than the listed one, are complete.
        """
        message = task_service_pb2.WatchTasksRequest(status=request.statuses(status))
        request.filtered(message, {"queue": queue, "name": name})

        def open_stream(cursor: str, metadata: credentials.Metadata) -> async_io.EventStream:
            scalar.filled(message, cursor=cursor)
            return async_io.EventStream(self._open().tasks.WatchTasks(message, metadata=metadata))

        return self._watch(open_stream, cursor, starts_now=True)

    def _watch(
        self, open_stream: task_watch.OpenStream, cursor: str | None, *, starts_now: bool
    ) -> task_watch.AsyncWatch:
        return task_watch.AsyncWatch(
            open_stream,
            cursor=cursor or "",
            server=self._server,
            sent=self._credentials,
            starts_now=starts_now,
            check_client=self._open,
            explained=self._explained,
        )
