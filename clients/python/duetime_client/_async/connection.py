"""The connection to the server, and what all calls share."""

from __future__ import annotations

import datetime
from typing import Self, TypeVar

import grpc

from duetime.v1 import queue_service_pb2_grpc, schedule_service_pb2_grpc, task_service_pb2_grpc
from duetime_client import async_io, channel, rpc_error

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class AsyncConnection:
    """Holds the channel while its `with` block goes on."""

    def __init__(
        self, target: str = "127.0.0.1:8080", *, timeout: datetime.timedelta = datetime.timedelta(seconds=10)
    ) -> None:
        self._target = channel.target(target)
        self._timeout_seconds = timeout.total_seconds()

    async def __aenter__(self) -> Self:
        # Not in __init__: a channel belongs to the event loop that runs when it is made.
        self._channel = async_io.open_channel(self._target)
        self._tasks_stub = task_service_pb2_grpc.TaskServiceStub(self._channel)
        self._queues_stub = queue_service_pb2_grpc.QueueServiceStub(self._channel)
        self._schedules_stub = schedule_service_pb2_grpc.ScheduleServiceStub(self._channel)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._channel.close()

    async def _call(self, method: async_io.UnaryCall[_Request, _Response], message: _Request) -> _Response:
        try:
            return await method(message, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            raise rpc_error.translate(error, self._target) from error
