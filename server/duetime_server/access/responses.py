"""The innermost interceptor: empties payloads in responses, and ends watches of callers who lost their rights."""

from __future__ import annotations  # grpc's RpcMethodHandler is generic for type checkers alone

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from duetime.v1 import task_service_pb2
from duetime_core.model import errors
from duetime_server import access
from duetime_server.access import credentials, interceptor, payloads

EXPIRED = "CREDENTIALS_EXPIRED"
"""The reason of the event that ends such a watch."""
_CHECK_SECONDS = 1.0
"""How often a busy watch is checked. A silent one is checked at each heartbeat."""
_OURS = "/duetime.v1."

Context = grpc.aio.ServicerContext[Any, Any]


class Interceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of the API in a server that requires authentication."""

    def __init__(self, authenticator: interceptor.Authenticator) -> None:
        self._authenticator = authenticator

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the handler of one rpc."""
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        wrapped: Any = handler  # a named tuple, which gRPC's types do not say
        if wrapped.response_streaming:
            wrapped = wrapped._replace(unary_stream=self._stream(wrapped.unary_stream, method))
        elif not access.may_read_payloads():
            wrapped = wrapped._replace(unary_unary=_without_payloads(wrapped.unary_unary))
        own: grpc.RpcMethodHandler[Any, Any] = wrapped
        return own

    def _stream(self, behavior: Any, method: str) -> Any:
        async def watch(request: Any, context: Context) -> AsyncIterator[task_service_pb2.TaskEvent]:
            hides, checked, cursor = not access.may_read_payloads(), time.monotonic(), getattr(request, "cursor", "")
            async with contextlib.aclosing(behavior(request, context)) as events:
                async for event in events:
                    now = time.monotonic()
                    if now - checked >= _CHECK_SECONDS:
                        checked = now
                        if not await self._is_allowed(context, method):
                            end = task_service_pb2.TaskEvent.End(reason=EXPIRED)
                            yield task_service_pb2.TaskEvent(cursor=cursor, end=end)
                            return
                    cursor = event.cursor
                    if hides:
                        payloads.hide(event)
                    yield event

        return watch

    async def _is_allowed(self, context: Context, method: str) -> bool:
        """Returns whether the caller may still make the call. Raises StoreUnavailable."""
        try:
            token = credentials.token(context.invocation_metadata() or ())
            interceptor.require(await self._authenticator.authenticate(token), method)
        except (errors.Unauthenticated, errors.PermissionDenied):
            return False
        return True


def _without_payloads(behavior: Any) -> Any:
    async def call(request: Any, context: Context) -> Any:
        response = await behavior(request, context)
        payloads.hide(response)
        return response

    return call
