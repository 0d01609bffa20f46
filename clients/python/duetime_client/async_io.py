"""What the asynchronous client does differently from the synchronous one; `sync_io` is its counterpart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc
from grpc import aio

from duetime.v1 import task_service_pb2
from duetime_client import channel, credentials

UnaryCall: TypeAlias = aio.UnaryUnaryMultiCallable
StreamCall: TypeAlias = aio.UnaryStreamMultiCallable
Explain: TypeAlias = Callable[[grpc.RpcError], Awaitable[grpc.RpcError]]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

WRONG_OWNER = "the client was opened in another event loop; create one for each"


def owner() -> asyncio.AbstractEventLoop:
    """Returns what a channel that is opened now belongs to: the running event loop."""
    return asyncio.get_running_loop()


def open_channel(target: str, tls: grpc.ChannelCredentials | None) -> aio.Channel:
    """Returns a channel of the running event loop; it connects on first use."""
    options = channel.options(target)
    if tls is None:
        return aio.insecure_channel(target, options=options)
    return aio.secure_channel(target, tls, options=options)


async def connection_error(
    target: str, tls: grpc.ChannelCredentials | None, timeout_seconds: float
) -> grpc.RpcError | None:
    """Returns what a new connection, without retries, fails with, such as the timeout; None if it does not fail."""
    options = [*channel.options(target), channel.UNSHARED]
    probe = aio.insecure_channel(target, options) if tls is None else aio.secure_channel(target, tls, options)
    async with probe:
        try:
            await probe.unary_unary(channel.PROBE, bytes, bytes)(b"", timeout=timeout_seconds)
        except grpc.RpcError as error:
            return error
    return None


async def call(
    method: UnaryCall[_Request, _Response], message: _Request, timeout_seconds: float, metadata: credentials.Metadata
) -> _Response:
    """Returns the response; raises grpc.RpcError, also if the channel is closed during the call."""
    try:
        return await method(message, timeout=timeout_seconds, metadata=metadata)
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        raise grpc.RpcError from None  # the channel was closed, which cancels its calls but not the tasks awaiting them


class Pause:
    """A wait that can be ended early."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or once `end` is called."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    def end(self) -> None:
        """Ends the current wait and all later ones."""
        self._ended.set()


class EventStream:
    """One stream of a watch."""

    def __init__(self, call: aio.UnaryStreamCall[Any, task_service_pb2.TaskEvent]) -> None:
        self._call = call

    async def read(self, timeout_seconds: float) -> task_service_pb2.TaskEvent | None:
        """Returns the next message, or None at the end or after `cancel`.

        Raises grpc.RpcError if the stream breaks, and TimeoutError, cancelling the stream, if no message arrives in
        time.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                message = await self._call.read()
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            return None  # the stream was cancelled or its channel closed, not the task that reads it
        return message if isinstance(message, task_service_pb2.TaskEvent) else None

    def cancel(self) -> None:
        """Ends the stream; a read in another task returns None."""
        self._call.cancel()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
