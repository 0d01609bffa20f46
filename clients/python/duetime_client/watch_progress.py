"""A watch's cursor, and whether and when to reconnect after its stream ends. Decisions only, no I/O."""

from __future__ import annotations

import random

import grpc

from duetime.v1 import task_service_pb2
from duetime_client import address, errors, response, rpc_error, task_log

HEARTBEAT_TIMEOUT_SECONDS = 40.0
"""An idle server sends a heartbeat every 15 s; a stream that misses two is lost."""

FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 5.0

_RESUMABLE = frozenset({"SERVER_STOPPING", "WATCHER_TOO_SLOW"})
_EXPIRED = "CREDENTIALS_EXPIRED"
# The codes of a stream that the connection, Envoy or gRPC ended. The service's own errors have a reason.
_CONNECTION_LOST = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


class WatchProgress:
    """The cursor to resume from, and the backoff before the next stream."""

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        self.finished = False
        """Whether the watched task is finished, so that no more events follow."""
        self.was_connected = False
        """Whether a message has arrived, so that lost connections are no reason to end the watch."""
        self._next_delay_seconds = FIRST_DELAY_SECONDS

    def take(self, message: task_service_pb2.TaskEvent, *, is_renewed: bool = False) -> task_log.TaskEvent | None:
        """Processes a message. Returns its change, if it has one; raises DuetimeError if the server ended the watch for
        good, but not because the task is finished, nor because the credentials of the stream, which were renewed since,
        have expired.
        """
        self.was_connected = True
        self.cursor = message.cursor or self.cursor
        match message.WhichOneof("event"):
            case "change":
                self._next_delay_seconds = FIRST_DELAY_SECONDS
                return task_log.TaskEvent(self.cursor, response.to_task_log(message.change))
            case "heartbeat":
                self._next_delay_seconds = FIRST_DELAY_SECONDS
            case "end" if message.end.reason == "TASK_TERMINAL":
                self.finished = True
            case "end" if message.end.reason == _EXPIRED and not is_renewed:
                raise errors.Unauthenticated("the API key or token has expired or was revoked", reason=_EXPIRED)
            case "end" if message.end.reason not in (*_RESUMABLE, _EXPIRED):
                raise errors.DuetimeError(
                    f"the server ended the watch: {message.end.reason}", reason=message.end.reason
                )
        return None

    def delay_after(self, error: grpc.RpcError | TimeoutError | None, server: address.Address) -> float:
        """Returns how many seconds to wait before the next stream, after one that ended with `error` or without one.

        Raises the DuetimeError for `error` if the server refused the watch, it has a single address and its certificate
        is refused, or it never sent a message (otherwise, a watch that has worked once is resumed for as long as the
        caller waits).
        """
        if not self.was_connected or not _is_lost(error, server):
            raise _translated(error, server) from error
        longest = self._next_delay_seconds
        self._next_delay_seconds = min(longest * 2, MAX_DELAY_SECONDS)
        asked = rpc_error.retry_delay(error) if isinstance(error, grpc.RpcError) else None
        return longest * random.uniform(0.5, 1) + (asked.total_seconds() if asked is not None else 0)


def _is_lost(error: grpc.RpcError | TimeoutError | None, server: address.Address) -> bool:
    if not isinstance(error, grpc.RpcError):
        return True  # it timed out, or ended without an error
    if rpc_error.retry_delay(error) is not None:
        return True
    if (info := rpc_error.error_info(error)) is not None:
        return info.reason in _RESUMABLE or error.code() is grpc.StatusCode.UNAVAILABLE
    if error.code() not in _CONNECTION_LOST:
        return False
    # gRPC has the error of one address. While that refuses TLS, another, which served the watch, may only restart.
    return rpc_error.tls_failure(error) is None or address.may_have_several(server.target)


def _translated(error: grpc.RpcError | TimeoutError | None, server: address.Address) -> errors.DuetimeError:
    match error:
        case grpc.RpcError():
            return rpc_error.translate(error, server)
        case TimeoutError():
            return errors.DeadlineExceeded(f"{server.target} did not respond in time")
        case None:
            return errors.Unavailable(f"{server.target} ended the watch without an error")
