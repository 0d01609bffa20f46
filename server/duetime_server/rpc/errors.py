"""The interceptor of every rpc: parses requests and turns errors into statuses."""

from __future__ import annotations  # grpc's RpcMethodHandler is generic for type checkers alone

import asyncio
import contextlib
import datetime
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn, Protocol

import google.protobuf.message
import grpc
import grpc.aio
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from duetime_core.model import errors, quoting
from duetime_core.process import outage
from duetime_server.rpc import admission, deadline

DOMAIN = "duetime"
WRITE_SECONDS = 10.0
"""How long a caller may leave a full stream unread."""
_OURS = "/duetime.v1."
_INTERNAL = "Internal error. The server's log has the details."
_DETAILS = "grpc-status-details-bin"

_CODES: dict[type[errors.DuetimeError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.TaskNotFound: grpc.StatusCode.NOT_FOUND,
    errors.QueueNotFound: grpc.StatusCode.NOT_FOUND,
    errors.ScheduleNotFound: grpc.StatusCode.NOT_FOUND,
    errors.ApiKeyNotFound: grpc.StatusCode.NOT_FOUND,
    errors.GrantExceeded: grpc.StatusCode.PERMISSION_DENIED,
    errors.StateConflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.VersionMismatch: grpc.StatusCode.ABORTED,
    errors.RequestIdTaken: grpc.StatusCode.ALREADY_EXISTS,
    errors.TaskIdsExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.WatcherTooSlow: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ServerBusy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.IssuerUnavailable: grpc.StatusCode.UNAVAILABLE,
}

_log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]


class Observer(Protocol):
    """Notes what it needs of each call."""

    def arrived(self, context: Context) -> None:
        """Called before the request is parsed."""
        ...

    def failed(self, method: str, error: Exception) -> None:
        """Called before the call is aborted."""
        ...


class Interceptor(grpc.aio.ServerInterceptor):
    """Aborts each failed rpc with the status of its error, an ErrorInfo and, for invalid fields, a BadRequest.

    It also parses the requests, because gRPC answers those that cannot be parsed (invalid UTF-8, nested too deeply)
    with INTERNAL, although they are the caller's mistake. Errors of the database are returned to callers, and logged
    once per `database_outage`.
    """

    def __init__(self, database_outage: outage.Outage, observer: Observer) -> None:
        self._database_outage = database_outage
        self._observer = observer
        self._deadline = deadline.Deadline()
        self._admission = admission.Admission()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the handler of one rpc."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:  # unknown, or reflection: not ours
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(handler, handler_call_details.method), response_serializer=handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(self._unary(handler, handler_call_details.method))

    def _unary(self, handler: Any, method: str) -> Callable[[bytes, Context], Awaitable[bytes]]:
        admitted, uses_database = self._admission.admitting(handler, method), method.startswith(_OURS)

        async def call(request: bytes, context: Context) -> bytes:
            try:
                self._observer.arrived(context)
                running = admitted(request, context)
                response = await (self._deadline.keep(running) if uses_database else running)
            except errors.DuetimeError as error:
                await self._abort(context, method, error)
            except grpc.aio.BaseError:  # gRPC's own: the handler has aborted the call, or its caller has hung up
                raise
            except Exception as error:
                await abort(context, error)
            if uses_database:
                self._database_outage.end()
            return response

        return call

    def _streaming(self, handler: Any, method: str) -> Callable[[bytes, Context], Awaitable[None]]:
        async def call(request: bytes, context: Context) -> None:
            try:
                self._observer.arrived(context)
                async with contextlib.aclosing(
                    handler.unary_stream(admission.parse(handler, request), context)
                ) as responses:
                    async for response in responses:
                        await _write(context, response)
            except errors.DuetimeError as error:
                await self._abort(context, method, error)
            except grpc.aio.BaseError:  # gRPC's own: the handler has aborted the call, or its caller has hung up
                raise
            except Exception as error:
                await abort(context, error)

        return call

    async def _abort(self, context: Context, method: str, error: errors.DuetimeError) -> NoReturn:
        self._observer.failed(method, error)
        if isinstance(error, errors.StoreUnavailable):
            self._database_outage.begin(error)
        await abort(context, error)


async def _write(context: Context, response: Any) -> None:
    # A caller who does not read would keep the stream and its buffer indefinitely. Cancelling the rpc would not end
    # it for the caller, because nothing can be sent after the pending message; aborting does.
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await context.write(response)
    except TimeoutError:
        _log.warning("watch aborted: its caller does not read", peer=context.peer(), seconds=WRITE_SECONDS)
        raise errors.WatcherTooSlow from None


async def abort(context: Context, error: Exception) -> NoReturn:
    """Aborts an rpc with the status of `error`; logs one that is not expected, and reveals nothing of it."""
    if not isinstance(error, errors.DuetimeError):
        _log.error("rpc failed", exc_info=error)
        internal = [error_details_pb2.ErrorInfo(reason=errors.DuetimeError.reason, domain=DOMAIN)]
        await _abort_with(context, grpc.StatusCode.INTERNAL, _INTERNAL, internal)
    code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    headers: list[tuple[str, str]] = []
    details: list[google.protobuf.message.Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason,
            domain=DOMAIN,
            metadata={key: quoting.sentence(value) for key, value in error.metadata.items()},
        )
    ]
    if isinstance(error, errors.ServerBusy):
        delay = duration_pb2.Duration()
        delay.FromTimedelta(datetime.timedelta(seconds=error.retry_seconds))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        headers.append(("retry-after", str(math.ceil(error.retry_seconds))))  # the HTTP form: whole seconds
    if isinstance(error, errors.Unauthenticated):
        headers.append(("www-authenticate", "Bearer"))  # HTTP requires it of a 401
    if isinstance(error, errors.InvalidArgument):
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=violation.field, description=violation.description, reason=error.reason
                    )
                    for violation in error.violations
                ]
            )
        )
        message = error.message  # its violations are shortened already
    else:
        message = quoting.sentence(error.message)
    await _abort_with(context, code, message, details, headers)


async def _abort_with(
    context: Context,
    code: grpc.StatusCode,
    message: str,
    details: Sequence[google.protobuf.message.Message],
    headers: Iterable[tuple[str, str]] = (),
) -> NoReturn:
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=code.value[0], message=message, details=packed)
    await context.abort(code, message, trailing_metadata=((_DETAILS, status.SerializeToString()), *headers))
