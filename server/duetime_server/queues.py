"""QueueService: each rpc reads its request, calls the store, and writes its answer."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import queue_pb2, queue_service_pb2, queue_service_pb2_grpc
from duetime_core import doorbell, errors
from duetime_core.store import queues, workers
from duetime_server import failures, queue_messages, queue_requests, violations

_MOST_NAMED = 10
"""How many queues an error names."""


class QueueService(queue_service_pb2_grpc.QueueServiceServicer):
    """The servicer. Errors are turned into statuses by `failures`."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine, bell: doorbell.Doorbell) -> None:
        self._engine = engine
        self._bell = bell

    async def ListQueues(
        self, _request: queue_service_pb2.ListQueuesRequest, _: failures.Context
    ) -> queue_service_pb2.ListQueuesResponse:
        """Reads all queues."""
        found = await queues.list_queues(self._engine)
        return queue_service_pb2.ListQueuesResponse(queues=[queue_messages.from_queue(each) for each in found])

    async def GetQueue(self, request: queue_service_pb2.GetQueueRequest, _: failures.Context) -> queue_pb2.Queue:
        """Reads a queue."""
        return queue_messages.from_queue(await queues.get(self._engine, queue_requests.name(request.name)))

    async def UpdateQueue(self, request: queue_service_pb2.UpdateQueueRequest, _: failures.Context) -> queue_pb2.Queue:
        """Holds a queue back, or lets it go."""
        changes = queue_requests.changes(request)
        return await self._update(request.name, changes, is_new=request.allow_missing)

    async def PauseQueue(self, request: queue_service_pb2.PauseQueueRequest, _: failures.Context) -> queue_pb2.Queue:
        """Lets nothing of a queue start any more."""
        return await self._update(request.name, {"is_paused": True})

    async def ResumeQueue(self, request: queue_service_pb2.ResumeQueueRequest, _: failures.Context) -> queue_pb2.Queue:
        """Lets a queue's tasks start again."""
        return await self._update(request.name, {"is_paused": False})

    async def ListWorkers(
        self, _request: queue_service_pb2.ListWorkersRequest, _: failures.Context
    ) -> queue_service_pb2.ListWorkersResponse:
        """Reads all workers that made themselves known lately."""
        found = await workers.list_workers(self._engine)
        return queue_service_pb2.ListWorkersResponse(workers=[queue_messages.from_worker(each) for each in found])

    async def _update(self, name: str, changes: Mapping[str, Any], *, is_new: bool = False) -> queue_pb2.Queue:
        name = queue_requests.name(name)
        try:
            updated, now = await queues.update(self._engine, name, changes, is_new=is_new)
        except errors.QueueNotFound:
            raise await self._unknown(name) from None
        self._bell.arm(name, now, now=now)  # what may start now should not wait for the next look
        return queue_messages.from_queue(updated)

    async def _unknown(self, name: str) -> errors.InvalidArgument:
        known = [each.name for each in await queues.list_queues(self._engine)]
        named = ", ".join(known[:_MOST_NAMED]) + (", …" if len(known) > _MOST_NAMED else "")
        return violations.refuse(
            "name",
            f"{name!r} is no queue that a task is in or a live worker serves; there are: {named or 'none'}. "
            "UpdateQueue with allow_missing holds one back in advance",
        )
