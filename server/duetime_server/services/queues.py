"""QueueService: each rpc reads its request, calls the store and writes its response."""

from collections.abc import Mapping
from typing import Any

from duetime.v1 import queue_pb2, queue_service_pb2, queue_service_pb2_grpc
from duetime_core.model import errors, names, namespace
from duetime_core.redis import doorbell
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.queues import read as queue_read
from duetime_core.store.queues import workers
from duetime_server import access
from duetime_server.access import limits
from duetime_server.queues import messages as queue_messages
from duetime_server.queues import requests as queue_requests
from duetime_server.rpc import errors as rpc_errors
from duetime_server.rpc import fields, pools, tokens

_MAX_COMPARED = 500
"""Among how many queues a misspelt one is looked for."""


class QueueService(queue_service_pb2_grpc.QueueServiceServicer):
    """The servicer. `rpc.errors` turns errors into statuses."""

    def __init__(self, connections: pools.Pools, bell: doorbell.Doorbell) -> None:
        self._pools = connections
        self._bell = bell

    async def ListQueues(
        self, request: queue_service_pb2.ListQueuesRequest, _: rpc_errors.Context
    ) -> queue_service_pb2.ListQueuesResponse:
        """Reads a page of queues."""
        size, scope = fields.page_size(request.page_size), ("ListQueues",)
        after = tokens.name(request.page_token, scope)
        found = await queue_read.list_queues(self._pools.reads, after=after, limit=size + 1)
        return queue_service_pb2.ListQueuesResponse(
            queues=[queue_messages.from_queue(each) for each in found[:size]],
            next_page_token=tokens.following(scope, [each.name for each in found], size),
        )

    async def GetQueue(self, request: queue_service_pb2.GetQueueRequest, _: rpc_errors.Context) -> queue_pb2.Queue:
        """Reads a queue."""
        return queue_messages.from_queue(await queue_read.get(self._pools.control, queue_requests.name(request.name)))

    async def UpdateQueue(
        self, request: queue_service_pb2.UpdateQueueRequest, _: rpc_errors.Context
    ) -> queue_pb2.Queue:
        """Changes whether a queue is paused, and its limits."""
        changes = queue_requests.changes(request)
        return await self._update(request.name, changes, is_new=request.allow_missing)

    async def PauseQueue(self, request: queue_service_pb2.PauseQueueRequest, _: rpc_errors.Context) -> queue_pb2.Queue:
        """Pauses a queue: none of its tasks start."""
        return await self._update(request.name, {"is_paused": True})

    async def ResumeQueue(
        self, request: queue_service_pb2.ResumeQueueRequest, _: rpc_errors.Context
    ) -> queue_pb2.Queue:
        """Resumes a queue: its tasks start again."""
        return await self._update(request.name, {"is_paused": False})

    async def ListQueueLogs(
        self, request: queue_service_pb2.ListQueueLogsRequest, _: rpc_errors.Context
    ) -> queue_service_pb2.ListQueueLogsResponse:
        """Reads a page of a queue's history."""
        name, size = queue_requests.name(request.name), fields.page_size(request.page_size)
        scope = ("ListQueueLogs", name)
        after = tokens.number(request.page_token, scope)
        logs = await queue_limit.list_logs(self._pools.reads, name, after=after, limit=size + 1)
        return queue_service_pb2.ListQueueLogsResponse(
            logs=[queue_messages.from_log(each) for each in logs[:size]],
            next_page_token=tokens.following(scope, [each.log_id for each in logs], size),
        )

    async def ListWorkers(
        self, request: queue_service_pb2.ListWorkersRequest, _: rpc_errors.Context
    ) -> queue_service_pb2.ListWorkersResponse:
        """Reads a page of the workers with a recent heartbeat."""
        size, scope = fields.page_size(request.page_size), ("ListWorkers",)
        after = tokens.name(request.page_token, scope)
        found = await workers.list_workers(self._pools.reads, after=after, limit=size + 1)
        return queue_service_pb2.ListWorkersResponse(
            workers=[queue_messages.from_worker(each) for each in found[:size]],
            next_page_token=tokens.following(scope, [each.worker_id for each in found], size),
        )

    async def _update(self, name: str, changes: Mapping[str, Any], *, is_new: bool = False) -> queue_pb2.Queue:
        name = queue_requests.name(name)
        limits.check_queue(name)
        try:
            updated, now = await queue_limit.update(
                self._pools.control, name, changes, is_new=is_new, actor=access.actor()
            )
        except errors.QueueNotFound as error:
            raise await self._with_nearest(error, name) from None
        self._bell.arm(
            namespace.current(), name, now, now=now
        )  # tasks that may start now should not wait for the next sweep
        return queue_messages.from_queue(updated)

    async def _with_nearest(self, error: errors.QueueNotFound, name: str) -> errors.QueueNotFound:
        near = names.nearest(name, await queue_read.names(self._pools.control, limit=_MAX_COMPARED))
        meant = f" Did you mean {near!r}?" if near else ""
        advice = "UpdateQueue with allow_missing creates it."
        return errors.QueueNotFound(f"{error.message}{meant} {advice}", queue=name)
