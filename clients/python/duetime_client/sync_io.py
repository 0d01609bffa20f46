"""All that the synchronous client does differently from the asynchronous one: `async_io` is its
counterpart."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any, TypeAlias, TypeVar

import grpc

from duetime.v1 import task_service_pb2
from duetime_client import channel

UnaryCall: TypeAlias = grpc.UnaryUnaryMultiCallable
StreamCall: TypeAlias = grpc.UnaryStreamMultiCallable

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

NOT_AT_HOME = "the client was opened before this process was forked; make another one"


def home() -> int:
    """Returns where a channel that is opened now may be used: this process, and none that is forked from it."""
    return os.getpid()


def open_channel(target: str) -> grpc.Channel:
    """Returns a channel; it connects when it is first used."""
    return grpc.insecure_channel(target, options=channel.options(target))


def call(method: UnaryCall[_Request, _Response], message: _Request, timeout_seconds: float) -> _Response:
    """Returns the answer; raises grpc.RpcError, also when the channel is closed meanwhile."""
    try:
        return method(message, timeout=timeout_seconds)
    except ValueError as error:  # gRPC's word for a channel that another thread closed
        raise grpc.RpcError from error


class Pause:
    """A wait that can be ended."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def wait(self, seconds: float) -> None:
        """Returns after so long, or once `end` was called."""
        self._ended.wait(seconds)

    def end(self) -> None:
        """Ends the wait, and all that follow."""
        self._ended.set()


class EventStream:
    """One stream of a watch."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._cancelled = False
        self._silent = False
        self._silent_at: float | None = None  # when the read that is under way will have waited too long
        self._watchdog: threading.Timer | None = None

    def read(self, silence_seconds: float) -> task_service_pb2.TaskEvent | None:
        """Returns the next message, or None at the end or after `cancel`.

        Raises grpc.RpcError when the stream breaks, and TimeoutError, cancelling it, when it is silent for
        too long.
        """
        self._silent_at = time.monotonic() + silence_seconds
        if self._watchdog is None:
            self._wake_watchdog_in(silence_seconds)
        try:
            message: task_service_pb2.TaskEvent | None = next(self._call, None)
        except grpc.RpcError:
            if self._cancelled:
                return None
            if self._silent:
                raise TimeoutError from None
            raise
        finally:
            self._silent_at = None
        return message

    def cancel(self) -> None:
        """Ends the stream; a read in another thread returns None."""
        self._cancelled = True
        self._call.cancel()
        if self._watchdog is not None:
            self._watchdog.cancel()

    def __del__(self) -> None:
        self.cancel()

    def _wake_watchdog_in(self, seconds: float) -> None:
        # gRPC's blocking read takes no timeout, so a thread that nearly always sleeps cancels a silent call.
        # It must not keep alive a stream that nobody reads any more.
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = threading.Timer(seconds, _look_after, [weakref.ref(self), seconds])
        self._watchdog.daemon = True
        self._watchdog.start()

    def cancel_if_silent(self, silence_seconds: float) -> None:
        """The watchdog's look: cancels a read that waits for too long, or looks again later."""
        silent_at = self._silent_at
        left = silence_seconds if silent_at is None else silent_at - time.monotonic()
        if left <= 0:
            self._silent = True
            self._call.cancel()
        elif not self._cancelled:
            self._wake_watchdog_in(left)


def _look_after(stream: weakref.ref[EventStream], silence_seconds: float) -> None:
    if (alive := stream()) is not None:
        alive.cancel_if_silent(silence_seconds)
