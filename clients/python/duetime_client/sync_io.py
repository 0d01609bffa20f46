"""What the synchronous client does differently from the asynchronous one; `async_io` is its counterpart."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import grpc

from duetime.v1 import task_service_pb2
from duetime_client import channel, credentials

UnaryCall: TypeAlias = grpc.UnaryUnaryMultiCallable
StreamCall: TypeAlias = grpc.UnaryStreamMultiCallable
Explain: TypeAlias = Callable[[grpc.RpcError], grpc.RpcError]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

WRONG_OWNER = "the client was opened before this process was forked; create another one"


def owner() -> int:
    """Returns what a channel that is opened now belongs to: this process, and none that is forked from it."""
    return os.getpid()


def open_channel(target: str, tls: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Returns a channel; it connects on first use."""
    options = channel.options(target)
    if tls is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, tls, options=options)


def connection_error(target: str, tls: grpc.ChannelCredentials | None, timeout_seconds: float) -> grpc.RpcError | None:
    """Returns what a new connection, without retries, fails with, such as the timeout; None if it does not fail."""
    options = [*channel.options(target), channel.UNSHARED]
    probe = grpc.insecure_channel(target, options) if tls is None else grpc.secure_channel(target, tls, options)
    with probe:
        try:
            probe.unary_unary(channel.PROBE, bytes, bytes)(b"", timeout=timeout_seconds)
        except grpc.RpcError as error:
            return error
    return None


def call(
    method: UnaryCall[_Request, _Response], message: _Request, timeout_seconds: float, metadata: credentials.Metadata
) -> _Response:
    """Returns the response; raises grpc.RpcError, also if the channel is closed during the call."""
    try:
        return method(message, timeout=timeout_seconds, metadata=metadata)
    except ValueError as error:  # what gRPC raises if another thread closed the channel
        raise grpc.RpcError from error


class Pause:
    """A wait that can be ended early."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or once `end` is called."""
        self._ended.wait(seconds)

    def end(self) -> None:
        """Ends the current wait and all later ones."""
        self._ended.set()


class EventStream:
    """One stream of a watch."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._cancelled = False
        self._timed_out = False
        self._deadline: float | None = None  # of the current read
        self._watchdog: threading.Timer | None = None

    def read(self, timeout_seconds: float) -> task_service_pb2.TaskEvent | None:
        """Returns the next message, or None at the end or after `cancel`.

        Raises grpc.RpcError if the stream breaks, and TimeoutError, cancelling the stream, if no message arrives in
        time.
        """
        self._deadline = time.monotonic() + timeout_seconds
        if self._watchdog is None:
            self._start_watchdog(timeout_seconds)
        try:
            message: task_service_pb2.TaskEvent | None = next(self._call, None)
        except grpc.RpcError:
            if self._cancelled:
                return None
            if self._timed_out:
                raise TimeoutError from None
            raise
        finally:
            self._deadline = None
        return message

    def cancel(self) -> None:
        """Ends the stream; a read in another thread returns None."""
        self._cancelled = True
        self._call.cancel()
        if self._watchdog is not None:
            self._watchdog.cancel()

    def __del__(self) -> None:
        self.cancel()

    def _start_watchdog(self, seconds: float) -> None:
        # gRPC's blocking read takes no timeout, so a thread that nearly always sleeps cancels an overdue one.
        # It must not keep alive a stream that is no longer used.
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = threading.Timer(seconds, _check_deadline, [weakref.ref(self), seconds])
        self._watchdog.daemon = True
        self._watchdog.start()

    def cancel_if_overdue(self, timeout_seconds: float) -> None:
        """Cancels the current read if its deadline has passed, or checks again later; called by the watchdog."""
        deadline = self._deadline
        left = timeout_seconds if deadline is None else deadline - time.monotonic()
        if left <= 0:
            self._timed_out = True
            self._call.cancel()
        elif not self._cancelled:
            self._start_watchdog(left)


def _check_deadline(reference: weakref.ref[EventStream], timeout_seconds: float) -> None:
    if (stream := reference()) is not None:
        stream.cancel_if_overdue(timeout_seconds)
