"""How far a watch has come, and what to do when its stream ends: no input or output, only the decisions."""

from __future__ import annotations

import random

import grpc

from duetime.v1 import task_service_pb2
from duetime_client import errors, response, rpc_error, task_log

SILENCE_SECONDS = 40.0
"""A server says something at least each 15 s; a stream that misses two words is lost."""

FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 5.0

_GO_ON = frozenset({"SERVER_STOPPING", "WATCHER_TOO_SLOW"})
# What the connection, Envoy and gRPC say about a stream that broke. The service adds its reason.
_BROKEN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


class WatchProgress:
    """The cursor to go on from, and the wait before it."""

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        self.over = False
        """The watched task is terminal: there will be no more."""
        self._answered = False
        self._next_delay_seconds = FIRST_DELAY_SECONDS

    def take(self, message: task_service_pb2.TaskEvent) -> task_log.TaskEvent | None:
        """Notes what the server said. Returns the change, if it is one; raises DuetimeError for an end that
        is neither the task's nor a reason to go on.
        """
        self._answered = True
        self.cursor = message.cursor or self.cursor
        match message.WhichOneof("event"):
            case "change":
                self._next_delay_seconds = FIRST_DELAY_SECONDS
                return task_log.TaskEvent(self.cursor, response.to_task_log(message.change))
            case "heartbeat":
                self._next_delay_seconds = FIRST_DELAY_SECONDS
            case "end" if message.end.reason == "TASK_TERMINAL":
                self.over = True
            case "end" if message.end.reason not in _GO_ON:
                raise errors.DuetimeError(
                    f"the server ended the watch: {message.end.reason}", reason=message.end.reason
                )
        return None

    def delay_after(self, error: grpc.RpcError | TimeoutError | None, target: str) -> float:
        """Returns how many seconds to wait before the next stream, after one that ended with `error`, or
        without one.

        Raises what `error` means if going on is pointless: the server refused the watch, or it never answered
        at all (a watch that once worked is resumed for as long as the caller waits).
        """
        if not self._answered or not _is_lost(error):
            raise _meaning(error, target) from error
        longest = self._next_delay_seconds
        self._next_delay_seconds = min(longest * 2, MAX_DELAY_SECONDS)
        return longest * random.uniform(0.5, 1)


def _is_lost(error: grpc.RpcError | TimeoutError | None) -> bool:
    if not isinstance(error, grpc.RpcError):
        return True  # it was silent, or it ended without saying why
    if (info := rpc_error.error_info(error)) is not None:
        return info.reason in _GO_ON or error.code() is grpc.StatusCode.UNAVAILABLE
    return error.code() in _BROKEN


def _meaning(error: grpc.RpcError | TimeoutError | None, target: str) -> errors.DuetimeError:
    match error:
        case grpc.RpcError():
            return rpc_error.translate(error, target)
        case TimeoutError():
            return errors.DeadlineExceeded(f"{target} did not answer in time")
        case None:
            return errors.Unavailable(f"{target} ended the watch without a word")
