"""The outermost interceptor: decides who calls, and whether the method is allowed, before a request is parsed."""

from __future__ import annotations  # grpc's RpcMethodHandler is generic for type checkers alone

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio

from duetime_core.model import errors, namespace
from duetime_core.model.access import Principal
from duetime_server import access
from duetime_server.access import credentials, peers, quotas, rules
from duetime_server.rpc import errors as rpc_errors
from duetime_server.rpc import turns


class Authenticator(Protocol):
    """Knows the principals of tokens."""

    async def authenticate(self, token: str) -> Principal:
        """Returns the principal. Raises Unauthenticated or StoreUnavailable."""
        ...

    def came_from(self, principal: Principal, address: str) -> None:
        """Notes from where the principal called."""
        ...


class Interceptor(grpc.aio.ServerInterceptor):
    """Sets the principal of each call and its namespace, or refuses it: UNAUTHENTICATED or PERMISSION_DENIED."""

    def __init__(
        self,
        authenticator: Authenticator,
        observer: rpc_errors.Observer,
        known_peers: peers.Peers,
        quota: quotas.Quotas,
    ) -> None:
        self._authenticator = authenticator
        self._observer = observer
        self._peers = known_peers
        self._quotas = quota

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the handler of one call, or one that refuses it."""
        method = handler_call_details.method
        rule = rules.RULES.get(method)
        if rule is None or rule.role is not None:
            try:
                metadata = handler_call_details.invocation_metadata or ()
                token = credentials.token(metadata)
                access.origin.set(self._peers.announced(metadata))
                principal = await self._authenticator.authenticate(token)
                access.principal.set(principal)
                namespace.enter(principal.namespace_id)
                turns.owner.set(principal.actor)
                await self._quotas.charge(principal.actor, method)
                require(principal, method)
            except Exception as error:  # raised here, gRPC would answer with UNKNOWN
                refused = await continuation(handler_call_details)
                return None if refused is None else self._refusing(refused, method, error)
            return self._counting(await continuation(handler_call_details), method, principal.actor)
        return await continuation(handler_call_details)

    def _counting(self, handler: Any, method: str, owner: str) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns a handler that does the same if its owner may have another call in progress."""
        if handler is None or handler.request_streaming:  # unknown, or reflection: not ours
            same: grpc.RpcMethodHandler[Any, Any] | None = handler
            return same
        is_watch = handler.response_streaming
        behavior = handler.unary_stream if is_watch else handler.unary_unary

        async def call(request: Any, context: rpc_errors.Context) -> Any:
            try:
                self._quotas.enter(owner, is_watch=is_watch)
            except errors.TooManyCalls as error:
                await self._refuse(context, method, error)
            try:
                return await behavior(request, context)
            finally:
                self._quotas.leave(owner, is_watch=is_watch)

        counting: grpc.RpcMethodHandler[Any, Any]
        counting = handler._replace(**{"unary_stream" if is_watch else "unary_unary": call})
        return counting

    def _refusing(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str, error: Exception
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Returns a handler that aborts at once, without waiting for the request.

        A caller without a key could otherwise begin as many calls as the edge lets through, send no request, and so
        keep out all others.
        """

        async def refuse(_requests: Any, context: rpc_errors.Context) -> None:
            await self._refuse(context, method, error)

        # gRPC does not wait for the messages of a stream, and a single one looks the same.
        make: Any = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        refusing: grpc.RpcMethodHandler[Any, Any] = make(refuse)
        return refusing

    async def _refuse(self, context: rpc_errors.Context, method: str, error: Exception) -> NoReturn:
        self._observer.arrived(context)
        self._observer.failed(method, error)
        await rpc_errors.abort(context, error)


class Open(grpc.aio.ServerInterceptor):
    """Of a server that does not require authentication: every call is in the default namespace."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the handler of one call."""
        namespace.enter(namespace.DEFAULT)
        return await continuation(handler_call_details)


def require(principal: Principal, method: str) -> None:
    """Raises PermissionDenied if the principal's role may not call the method."""
    rule = rules.RULES.get(method)
    if rule is None or not rule.allows(principal.role):
        name = method.rpartition("/")[2]
        raise errors.PermissionDenied(
            f"The role {principal.role} may not call {name}.", role=principal.role, method=name
        )
