"""The client's methods for queues and workers."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator

from duetime.v1 import queue_service_pb2
from duetime_client import queue, queue_messages, request, scalar
from duetime_client._async import connection

_PAGE_SIZE = 100
_LOG_PAGE_SIZE = 1_000


class AsyncQueues(connection.AsyncConnection):
    """The methods for queues and workers."""

    async def list_queues(self) -> builtins.list[queue.Queue]:
        """Returns the queues that have unfinished tasks, a live worker, or are limited, sorted by name."""
        message = queue_service_pb2.ListQueuesRequest(page_size=_PAGE_SIZE)
        queues: builtins.list[queue.Queue] = []
        while True:
            page = await self._call(self._open().queues.ListQueues, message)
            queues += [queue_messages.to_queue(member) for member in page.queues]
            if not page.next_page_token:
                return queues
            message.page_token = page.next_page_token

    async def get_queue(self, name: str) -> queue.Queue:
        """Returns a queue. Fails with QueueNotFound if `list_queues` would not return it."""
        message = scalar.filled(queue_service_pb2.GetQueueRequest(), name=name)
        return queue_messages.to_queue(await self._call(self._open().queues.GetQueue, message))

    async def update_queue(
        self,
        name: str,
        *,
        paused: bool | request.Unset = request.UNSET,
        max_running: int | request.Unset | None = request.UNSET,
        max_per_second: float | request.Unset | None = request.UNSET,
        max_running_per_key: int | request.Unset | None = request.UNSET,
        max_per_second_per_key: float | request.Unset | None = request.UNSET,
        allow_missing: bool = False,
    ) -> queue.Queue:
        """Changes the given fields of a queue and returns it; None removes a limit. Running tasks continue.

        Fails with QueueNotFound as get_queue does, unless `allow_missing` is set, which creates the queue.
        After Unavailable or DeadlineExceeded the outcome is unknown: the change may have been committed.
        """
        changes = {
            "paused": paused,
            "max_running": max_running,
            "max_per_second": max_per_second,
            "max_running_per_key": max_running_per_key,
            "max_per_second_per_key": max_per_second_per_key,
        }
        message = queue_messages.update_queue(name, changes, allow_missing)
        return queue_messages.to_queue(await self._call(self._open().queues.UpdateQueue, message))

    async def pause_queue(self, name: str) -> queue.Queue:
        """Pauses a queue and returns it: none of its tasks start until it is resumed. Fails as get_queue does."""
        message = scalar.filled(queue_service_pb2.PauseQueueRequest(), name=name)
        return queue_messages.to_queue(await self._call(self._open().queues.PauseQueue, message))

    async def resume_queue(self, name: str) -> queue.Queue:
        """Resumes a queue and returns it: its tasks start again. Fails as get_queue does."""
        message = scalar.filled(queue_service_pb2.ResumeQueueRequest(), name=name)
        return queue_messages.to_queue(await self._call(self._open().queues.ResumeQueue, message))

    async def queue_logs(self, name: str) -> AsyncIterator[queue.QueueLog]:
        """Iterates over a queue's history of changes, oldest first. Without any it fails as get_queue does."""
        message = scalar.filled(queue_service_pb2.ListQueueLogsRequest(page_size=_LOG_PAGE_SIZE), name=name)
        while True:
            page = await self._call(self._open().queues.ListQueueLogs, message)
            for line in page.logs:
                yield queue_messages.to_log(line)
            if not page.next_page_token:
                return
            message.page_token = page.next_page_token

    async def list_workers(self) -> builtins.list[queue.Worker]:
        """Returns the workers that sent a heartbeat in the last hour, except those that shut down cleanly."""
        message = queue_service_pb2.ListWorkersRequest(page_size=_PAGE_SIZE)
        workers: builtins.list[queue.Worker] = []
        while True:
            page = await self._call(self._open().queues.ListWorkers, message)
            workers += [queue_messages.to_worker(member) for member in page.workers]
            if not page.next_page_token:
                return workers
            message.page_token = page.next_page_token
