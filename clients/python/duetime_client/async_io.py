"""All that the asynchronous client does differently from the synchronous one: `sync_io` is its
counterpart."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

from grpc import aio

from duetime.v1 import task_service_pb2
from duetime_client import channel

UnaryCall: TypeAlias = aio.UnaryUnaryMultiCallable
StreamCall: TypeAlias = aio.UnaryStreamMultiCallable

sleep = asyncio.sleep


def open_channel(target: str) -> aio.Channel:
    """Returns a channel of this event loop; it connects when it is first used."""
    return aio.insecure_channel(target, options=channel.options())


class EventStream:
    """One stream of a watch."""

    def __init__(self, call: aio.UnaryStreamCall[Any, task_service_pb2.TaskEvent]) -> None:
        self._call = call
        self._cancelled = False

    async def read(self, silence_seconds: float) -> task_service_pb2.TaskEvent | None:
        """Returns the next message, or None at the end or after `cancel`.

        Raises grpc.RpcError when the stream breaks, and TimeoutError, cancelling it, when it is silent for
        too long.
        """
        try:
            async with asyncio.timeout(silence_seconds):
                message = await self._call.read()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._cancelled and not (task and task.cancelling()):
                return None  # the stream was cancelled, not the task that reads it
            raise
        return message if isinstance(message, task_service_pb2.TaskEvent) else None

    def cancel(self) -> None:
        """Ends the stream; a read in another task returns None."""
        self._cancelled = True
        self._call.cancel()
