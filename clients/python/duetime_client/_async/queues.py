"""What the client does with queues."""

from __future__ import annotations

import builtins

from duetime.v1 import queue_service_pb2
from duetime_client import queue, queue_messages, request
from duetime_client._async import connection


class AsyncQueues(connection.AsyncConnection):
    """The methods for queues."""

    async def queues(self) -> builtins.list[queue.Queue]:
        """Returns the queues that have tasks to run, are served by a live worker, or are held back, by name."""
        answer = await self._call(self._open().queues.ListQueues, queue_service_pb2.ListQueuesRequest())
        return [queue_messages.to_queue(member) for member in answer.queues]

    async def get_queue(self, name: str) -> queue.Queue:
        """Returns a queue. Fails with QueueNotFound if `queues` would not return it."""
        message = queue_service_pb2.GetQueueRequest(name=name)
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
        """Changes what is given of a queue and returns it; None takes a limit away. What runs already goes on.

        Fails with InvalidArgument for a queue that nothing names yet, unless `allow_missing` holds it back in advance.
        After Unavailable or DeadlineExceeded it may have changed.
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
        """Lets none of a queue's tasks start until it is resumed, and returns it. Fails as update_queue does."""
        message = queue_service_pb2.PauseQueueRequest(name=name)
        return queue_messages.to_queue(await self._call(self._open().queues.PauseQueue, message))

    async def resume_queue(self, name: str) -> queue.Queue:
        """Lets a queue's tasks start again, and returns it. Fails as update_queue does."""
        message = queue_service_pb2.ResumeQueueRequest(name=name)
        return queue_messages.to_queue(await self._call(self._open().queues.ResumeQueue, message))

    async def workers(self) -> builtins.list[queue.Worker]:
        """Returns the workers that made themselves known in the last hour, those that stopped in order excepted."""
        answer = await self._call(self._open().queues.ListWorkers, queue_service_pb2.ListWorkersRequest())
        return [queue_messages.to_worker(member) for member in answer.workers]
