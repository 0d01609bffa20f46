"""A gRPC server with scripted responses, and calls to it through both clients."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Self, TypeAlias

import grpc
from google.protobuf import message, message_factory
from google.rpc import status_pb2
from grpc import aio
from grpc_status import rpc_status

import duetime_client
from duetime.v1 import task_pb2, task_service_pb2
from tests.support import fields

READ_TASK = task_pb2.Task(task_id=1, status=task_pb2.Task.pending)
PENDING = task_service_pb2.GetTaskStatusResponse(status=task_pb2.Task.pending)
CREATED = task_service_pb2.CreateTaskResponse(task_id=1)

METHODS = {f"/{service.full_name}/{method.name}": method for service in fields.SERVICES for method in service.methods}

Answer: TypeAlias = message.Message | grpc.StatusCode | status_pb2.Status


@dataclasses.dataclass
class Server(grpc.GenericRpcHandler):
    """Gives one response per call, all but the last per stream, repeats the last, and records the requests in order."""

    answers: list[Answer]
    asked: list[Any] = dataclasses.field(default_factory=list)
    authorizations: list[Any] = dataclasses.field(default_factory=list)
    address: str = ""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        method = METHODS[handler_call_details.method]
        self.authorizations += [
            value for name, value in handler_call_details.invocation_metadata or () if name == "authorization"
        ]

        async def answer(request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
            self.asked.append(message_factory.GetMessageClass(method.input_type).FromString(request))
            return await sent(self._taken(1)[0], context)

        async def stream(request: bytes, context: aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
            self.asked.append(message_factory.GetMessageClass(method.input_type).FromString(request))
            for answer in self._taken(self._streamed()):
                yield await sent(answer, context)

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(answer)

    def _taken(self, count: int) -> list[Answer]:
        """Takes the next responses at once, so that a call that the client has left takes none of a later script."""
        taken, rest = self.answers[:count], self.answers[count:]
        self.answers = rest or self.answers[-1:]
        return taken

    def _streamed(self) -> int:
        """Counts the responses of one stream: all but the last, up to the first that is an error."""
        errors = (at for at, answer in enumerate(self.answers, 1) if not isinstance(answer, message.Message))
        return min(next(errors, len(self.answers)), max(len(self.answers) - 1, 1))


async def sent(answer: Answer, context: aio.ServicerContext[bytes, bytes]) -> bytes:
    if isinstance(answer, grpc.StatusCode):
        await context.abort(answer, "scripted by the test")
    elif isinstance(answer, status_pb2.Status):
        await context.abort_with_status(rpc_status.to_status(answer))
    return answer.SerializeToString()


@contextlib.asynccontextmanager
async def served(
    *answers: Answer, at: str = "127.0.0.1:0", tls: grpc.ServerCredentials | None = None
) -> AsyncIterator[Server]:
    handler = Server(list(answers))
    server = aio.server()
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port(at) if tls is None else server.add_secure_port(at, tls)
    handler.address = at.removesuffix(":0") + f":{port}" * at.endswith(":0")
    await server.start()
    try:
        yield handler
    finally:
        await server.stop(None)


class Mute(grpc.GenericRpcHandler):
    """A server that sends the first message, if given, and then never responds; it records that it was called."""

    def __init__(self, first: message.Message | None = None) -> None:
        self._first = first
        self.called = asyncio.Event()
        self.address = ""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        async def answer(request: bytes, context: aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
            self.called.set()
            if self._first is not None:
                yield self._first.SerializeToString()
            await asyncio.Event().wait()

        return grpc.unary_stream_rpc_method_handler(answer)

    async def __aenter__(self) -> Self:
        self._server = aio.server()
        self._server.add_generic_rpc_handlers([self])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._server.stop(None)


Caller = Callable[..., Coroutine[Any, Any, Any]]
"""Calls one method of a client; an iterator is returned as a list."""


async def call_async(server: Server, method: str, *arguments: Any, **options: Any) -> Any:
    async with duetime_client.AsyncClient(server.address) as client:
        called = getattr(client, method)(*arguments, **options)
        return [member async for member in called] if hasattr(called, "__aiter__") else await called


async def call_sync(server: Server, method: str, *arguments: Any, **options: Any) -> Any:
    def call() -> Any:
        with duetime_client.Client(server.address) as client:
            called = getattr(client, method)(*arguments, **options)
            return list(called) if hasattr(called, "__next__") else called

    return await asyncio.to_thread(call)


class Watcher:
    """A watch of task 1 through either client."""

    def __init__(self, url: str, is_async: bool) -> None:
        self._client = duetime_client.AsyncClient(url) if is_async else duetime_client.Client(url)
        self._watch = self._client.watch(1)

    async def next(self) -> str | None:
        """Returns the cursor of the next event; None after the last."""
        match self._watch:
            case duetime_client.AsyncWatch():
                event = await anext(self._watch, None)
            case _:
                event = await asyncio.to_thread(next, self._watch, None)
        return None if event is None else event.cursor

    async def close(self) -> None:
        match self._client:
            case duetime_client.AsyncClient():
                await self._client.aclose()
            case _:
                self._client.close()
