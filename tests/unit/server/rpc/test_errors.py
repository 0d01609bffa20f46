"""Errors become statuses with details, and an unexpected one reveals nothing."""

from typing import Any

import grpc
import grpc.aio
import pytest
import structlog.testing
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from duetime_core.model import errors
from duetime_core.process import outage
from duetime_server.access import observer, peers
from duetime_server.rpc import errors as rpc_errors

OUTAGE = outage.Outage("the database", "calls fail")


class Aborted(Exception):
    """What grpc's abort raises."""


class Context:
    """Records how an rpc was aborted."""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1234"

    async def abort(self, code: grpc.StatusCode, message: str, trailing_metadata: Any) -> None:
        self.code, self.message, self.trailers = code, message, dict(trailing_metadata)
        raise Aborted


async def aborted(error: BaseException) -> Context:
    async def fail(_request: Any, _context: Any) -> Any:
        raise error

    interceptor = rpc_errors.Interceptor(OUTAGE, observer.Observer(peers.Peers()))
    handler = grpc.unary_unary_rpc_method_handler(fail, request_deserializer=bytes, response_serializer=bytes)
    context: Any = Context()

    async def continuation(_: Any) -> Any:
        return handler

    class Details:
        method = "/duetime.v1.TaskService/GetTask"

    details: Any = Details()
    intercepted: Any = await interceptor.intercept_service(continuation, details)
    with pytest.raises(Aborted):
        await intercepted.unary_unary(b"", context)
    found: Context = context
    return found


def status_of(context: Context) -> status_pb2.Status:
    return status_pb2.Status.FromString(context.trailers["grpc-status-details-bin"])


async def test_an_error_has_its_code_reason_and_metadata() -> None:
    context = await aborted(errors.TaskNotFound.of(7))
    assert context.code is grpc.StatusCode.NOT_FOUND
    info = error_details_pb2.ErrorInfo()
    assert status_of(context).details[0].Unpack(info)
    assert (info.reason, info.domain) == ("TASK_NOT_FOUND", "duetime")


async def test_invalid_fields_are_named() -> None:
    context = await aborted(errors.InvalidArgument(errors.Violation("name", "is required")))
    found = error_details_pb2.BadRequest()
    assert status_of(context).details[1].Unpack(found)
    assert [(each.field, each.description) for each in found.field_violations] == [("name", "is required")]


async def test_a_busy_server_returns_when_to_retry() -> None:
    context = await aborted(errors.ServerBusy())
    assert (context.code, context.trailers["retry-after"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "1")


async def test_a_delay_is_exact_for_grpc_and_whole_seconds_for_http() -> None:
    context = await aborted(errors.CallRateExceeded(retry_seconds=1.25))
    retry = error_details_pb2.RetryInfo()
    assert status_of(context).details[1].Unpack(retry)
    assert (retry.retry_delay.ToMilliseconds(), context.trailers["retry-after"]) == (1_250, "2")


async def test_an_unexpected_error_is_internal_and_keeps_its_text_to_the_log() -> None:
    context = await aborted(ZeroDivisionError("secret"))
    assert context.code is grpc.StatusCode.INTERNAL
    assert "secret" not in str(status_of(context))


async def test_a_call_that_its_handler_has_aborted_keeps_its_status() -> None:
    server = grpc.aio.server(interceptors=[rpc_errors.Interceptor(OUTAGE, observer.Observer(peers.Peers()))])
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with structlog.testing.capture_logs() as logged:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Check(health_pb2.HealthCheckRequest(service="unknown"))
    await server.stop(None)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert logged == []


async def test_a_watch_whose_caller_hangs_up_is_no_error() -> None:
    async def events(_request: Any, _context: Any) -> Any:
        yield b"event"

    class HungUp(Context):
        async def write(self, _: Any) -> None:  # if gRPC has not cancelled the call yet
            raise grpc.aio.InternalError("Failed grpc_call_start_batch: 8")

    interceptor = rpc_errors.Interceptor(OUTAGE, observer.Observer(peers.Peers()))
    handler = grpc.unary_stream_rpc_method_handler(events, request_deserializer=bytes, response_serializer=bytes)
    with structlog.testing.capture_logs() as logged, pytest.raises(grpc.aio.InternalError):
        await interceptor._streaming(handler, "/x")(b"", HungUp())  # type: ignore[arg-type]
    assert logged == []
