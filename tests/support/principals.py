"""A server with every method of the contract that does nothing, behind the interceptor of access."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor, message_factory
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from duetime_core.model import errors
from duetime_core.model.access import Principal, Role
from duetime_core.process import outage
from duetime_server import access
from duetime_server.access import chain, quotas
from tests.support import fields

_OTHERS: Any = [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
SERVICES: list[descriptor.ServiceDescriptor] = [
    *fields.SERVICES,
    *(service for file in _OTHERS for service in file.services_by_name.values()),
]
METHODS = {f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods}
"""By path, as gRPC sends it."""
PRINCIPALS = {role: Principal(f"key:{role}", role, role.reads_payloads) for role in Role}
SECRET = "planted_hunter2"
INVALID: dict[str, list[tuple[str, str]]] = {
    "none": [],
    "no token": [("authorization", "Bearer")],
    "unknown": [("authorization", f"Bearer {SECRET}")],
    "Basic": [("authorization", f"Basic {SECRET}")],
    "two kinds": [("authorization", "Bearer admin"), ("x-api-key", SECRET)],
    "twice": [("authorization", "Bearer admin"), ("authorization", "Bearer admin")],
}
"""The metadata of calls without one valid credential."""


class Tokens:
    """Knows a token of each role: its name."""

    def __init__(self) -> None:
        self.principals: dict[str, Principal] = {str(role): principal for role, principal in PRINCIPALS.items()}

    async def authenticate(self, token: str) -> Principal:
        """Returns the principal; raises CredentialsInvalid."""
        try:
            return self.principals[token]
        except KeyError:
            raise errors.CredentialsInvalid from None

    def came_from(self, principal: Principal, address: str) -> None:
        """Notes nothing."""


@dataclasses.dataclass
class Recorder:
    """The calls that reached their handlers: the method and the principal."""

    address: str
    tokens: Tokens
    calls: list[tuple[str, Principal | None]]


class _Everything(grpc.GenericRpcHandler):
    def __init__(self, calls: list[tuple[str, Principal | None]], unknown: str, *, stays_open: bool) -> None:
        self._calls = calls
        self._unknown = unknown
        self._stays_open = stays_open

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        method = METHODS.get("/duetime.v1.TaskService/GetTask" if path == self._unknown else path)
        if method is None:
            return None
        response: Any = message_factory.GetMessageClass(method.output_type)()
        if isinstance(response, health_pb2.HealthCheckResponse):
            response.status = health_pb2.HealthCheckResponse.SERVING  # for Envoy

        async def answer(_request: Any, _context: Any) -> Any:
            self._calls.append((path, access.current()))
            return response

        async def stream(_request: Any, _context: Any) -> AsyncIterator[Any]:
            self._calls.append((path, access.current()))
            yield response
            if self._stays_open:
                await asyncio.Event().wait()

        parts = {
            "request_deserializer": message_factory.GetMessageClass(method.input_type).FromString,
            "response_serializer": lambda message: message.SerializeToString(),
        }
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(stream, **parts)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, **parts)
        return grpc.unary_unary_rpc_method_handler(answer, **parts)


@contextlib.asynccontextmanager
async def serving(
    *, unknown: str = "", quota: quotas.Quotas | None = None, stays_open: bool = False
) -> AsyncIterator[Recorder]:
    """Serves every method, and one more whose path is `unknown`, on a free port. Its streams may stay open."""
    tokens, calls = Tokens(), list[tuple[str, Principal | None]]()
    database_outage = outage.Outage("the database", "calls fail")
    server = grpc.aio.server(interceptors=chain.interceptors(tokens, database_outage, quota=quota))
    server.add_generic_rpc_handlers([_Everything(calls, unknown, stays_open=stays_open)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Recorder(f"127.0.0.1:{port}", tokens, calls)
    finally:
        await server.stop(None)


async def call(channel: grpc.aio.Channel, path: str, metadata: list[tuple[str, str]]) -> None:
    """Calls a method with an empty request. Raises AioRpcError."""
    method = METHODS.get(path) or METHODS["/duetime.v1.TaskService/GetTask"]
    request: Any = message_factory.GetMessageClass(method.input_type)()
    parts: dict[str, Any] = {"request_serializer": lambda message: message.SerializeToString()}
    if method.client_streaming:
        stream = channel.stream_stream(path, **parts)(iter([request]), metadata=metadata)
        async for _ in stream:
            break
        stream.cancel()
    elif method.server_streaming:
        async for _ in channel.unary_stream(path, **parts)(request, metadata=metadata):
            break
    else:
        await channel.unary_unary(path, **parts)(request, metadata=metadata)
