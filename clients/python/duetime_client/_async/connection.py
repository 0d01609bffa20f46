"""The connection to the server, shared by all calls."""

from __future__ import annotations

import datetime
import itertools
import os
import threading
import time
from typing import Self, TypeVar

import grpc

import duetime_payloads
from duetime.v1 import (
    audit_service_pb2_grpc,
    key_service_pb2_grpc,
    queue_service_pb2_grpc,
    schedule_service_pb2_grpc,
    task_service_pb2_grpc,
)
from duetime_client import address, async_io, certificates, channel, credentials, encryption, retries, rpc_error

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class AsyncOpened:
    """An open channel with its stubs."""

    def __init__(self, target: str, tls: grpc.ChannelCredentials | None) -> None:
        self.owner = async_io.owner()
        self.channel = async_io.open_channel(target, tls)
        self.tasks = task_service_pb2_grpc.TaskServiceStub(self.channel)
        self.queues = queue_service_pb2_grpc.QueueServiceStub(self.channel)
        self.schedules = schedule_service_pb2_grpc.ScheduleServiceStub(self.channel)
        self.keys = key_service_pb2_grpc.KeyServiceStub(self.channel)
        self.audit = audit_service_pb2_grpc.AuditServiceStub(self.channel)


class AsyncConnection:
    """Holds the channel, from its first use until it is closed."""

    def __init__(
        self,
        target: str = "127.0.0.1:8080",
        *,
        timeout: datetime.timedelta = datetime.timedelta(seconds=10),
        api_key: str | None = None,
        tls: bool | None = None,
        ca: str | os.PathLike[str] | None = None,
        codec: duetime_payloads.PayloadCodec | None = None,
    ) -> None:
        if not isinstance(timeout, datetime.timedelta):
            raise TypeError(f"timeout must be a timedelta, not {type(timeout).__name__}")
        self._server = address.parse(target, tls=tls)
        self._tls = certificates.channel_credentials(self._server, ca)
        self._credentials = credentials.Credentials(api_key, self._server)
        self._payloads = encryption.Payloads(codec)
        self._timeout_seconds = timeout.total_seconds()
        self._lock = threading.Lock()
        self._opened: AsyncOpened | None = None
        self._closed = False

    async def aclose(self) -> None:
        """Cancels running calls and closes the connection for good. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            opened, self._opened = self._opened, None
        if opened is not None and opened.owner == async_io.owner():
            await opened.channel.close()

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def _open(self) -> AsyncOpened:
        """Returns the open channel, opening it first if need be; raises RuntimeError if it cannot be used here."""
        # Not in __init__: a channel belongs to the event loop that runs when it is created.
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed; create another one")
            if self._opened is None:
                self._opened = AsyncOpened(self._server.target, self._tls)
            elif self._opened.owner != async_io.owner():
                raise RuntimeError(async_io.WRONG_OWNER)
            return self._opened

    async def _call(self, method: async_io.UnaryCall[_Request, _Response], message: _Request) -> _Response:
        deadline = time.monotonic() + self._timeout_seconds
        for attempts in itertools.count(1):
            try:
                return await async_io.call(method, message, deadline - time.monotonic(), self._credentials.metadata())
            except grpc.RpcError as error:
                self._open()  # raises if the client was closed, which ended the call
                wait_seconds = retries.wait_seconds(error, attempts, deadline - time.monotonic())
                if wait_seconds is None:
                    explained = await self._explained(error, deadline - time.monotonic())
                    raise rpc_error.translate(explained, self._server) from error
            await async_io.Pause().wait(wait_seconds)
            self._open()  # raises if the client was closed meanwhile
        raise AssertionError

    async def _explained(self, error: grpc.RpcError, left_seconds: float = channel.PROBE_SECONDS) -> grpc.RpcError:
        """Returns the error of a call or, if no address of the server could be connected to, the most telling one."""
        # After retries gRPC has the error of any address, such as of ::1, where nothing listens. A first connection
        # tries them in order, and has the error of the last.
        if not (rpc_error.never_connected(error) and address.may_have_several(self._server.target)):
            return error
        timeout_seconds = min(left_seconds, channel.PROBE_SECONDS)
        found = await async_io.connection_error(self._server.target, self._tls, timeout_seconds)
        return found if found is not None and rpc_error.never_connected(found) else error
