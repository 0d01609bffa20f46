"""Admits requests: checks their size, parses them, and limits how many of a costly kind run at a time."""

from __future__ import annotations  # grpc's RpcMethodHandler is generic for type checkers alone

from collections.abc import Callable, Coroutine
from typing import Any

import google.protobuf.message
import grpc.aio

from duetime_core.model import payload
from duetime_core.process import threads
from duetime_server.rpc import limiter, offload, structs, violations

MAX_REQUEST_BYTES = 1024 * 1024
"""Envoy's limit too: for gRPC requests, and for REST requests as JSON."""
MAX_TRANSCODED_BYTES = 6 * MAX_REQUEST_BYTES
"""The size of that much JSON as protobuf at worst: in `[1,1,1]`, two characters become eleven bytes."""
_TRANSCODED = "x-envoy-original-path"

LISTS = frozenset(
    {
        "ListTasks",
        "ListTaskLogs",
        "ListSchedules",
        "ListScheduleLogs",
        "ListQueues",
        "ListQueueLogs",
        "ListWorkers",
        "ListKeys",
        "ListAuditEvents",
    }
)
"""Rpcs that read many rows at once: up to 1 MB."""
_READS = LISTS | {"ExplainTask"}
BULK = frozenset({"CancelTasks", "RetryTasks", "DeleteTasks", "MoveTasks", "BackfillSchedule", "RecomputeSchedules"})
"""Rpcs that change many rows, for up to 5 seconds."""

_PAYLOADS = {
    "CreateTask": "task_data",
    "UpdateTask": "task_data",
    "CreateSchedule": "task.task_data",
    "UpdateSchedule": "task.task_data",
}
"""The field with the JSON object, of requests that have one."""

# Of the ten connections for reads; watches that catch up take three of them at most.
_MAX_READS = 3
_MAX_BULK = 2
# Of the four for creates, in `pools`.
_MAX_BATCHES = 2
_MAX_LARGE = 4
_MAX_PREVIEWS = 2
_MAX_WAITING = 1_000
_WAIT_SECONDS = 5.0
_BULK_WAIT_SECONDS = 3.0
"""Short enough that a call that then works for 5 seconds still meets its deadline."""
_MAX_WAITING_BYTES = 64 * MAX_REQUEST_BYTES

Context = grpc.aio.ServicerContext[Any, Any]
Behavior = Callable[[bytes, Context], Coroutine[Any, Any, bytes]]


class Admission:
    """Admits requests. Raises ServerBusy for those that wait too long."""

    def __init__(self) -> None:
        self._large = limiter.Limiter(
            "large requests", limit=_MAX_LARGE, max_waiting=_MAX_WAITING_BYTES, wait_seconds=_WAIT_SECONDS
        )
        reads = _limiter("lists and explanations", _MAX_READS)
        bulk = _limiter("bulk changes", _MAX_BULK, _BULK_WAIT_SECONDS)
        batches = _limiter("batches of creates", _MAX_BATCHES)
        previews = _limiter("previews", _MAX_PREVIEWS)
        self._limiters = {
            **dict.fromkeys(_READS, reads),
            **dict.fromkeys(BULK, bulk),
            "BatchCreateTasks": batches,
            # Each may take all the time that a rule is allowed, in the one thread for computations.
            "PreviewSchedule": previews,
        }

    def admitting(self, handler: Any, method: str) -> Behavior:
        """Returns the behavior of an rpc. It also serializes the response, which takes memory until then."""
        name = method.rpartition("/")[2]
        own, payload_field = self._limiters.get(name), _PAYLOADS.get(name)

        async def call(request: bytes, context: Context) -> bytes:
            offload.request_bytes.set(len(request))
            if len(request) <= offload.INLINE_BYTES:
                message = parse(handler, request)
            else:
                message = await threads.run(parse, handler, request)
            written: bytes = handler.response_serializer(await handler.unary_unary(message, context))
            return written

        async def limit(request: bytes, context: Context) -> bytes:
            if own is None:
                return await call(request, context)
            async with own.slot():
                return await call(request, context)

        async def admit(request: bytes, context: Context) -> bytes:
            if len(request) <= offload.INLINE_BYTES:
                return await limit(request, context)
            _check_size(request, context, payload_field)
            async with self._large.slot(len(request)):
                return await limit(request, context)

        return admit


def _limiter(what: str, limit: int, wait_seconds: float = _WAIT_SECONDS) -> limiter.Limiter:
    return limiter.Limiter(what, limit=limit, max_waiting=_MAX_WAITING, wait_seconds=wait_seconds)


def parse(handler: Any, request: bytes) -> Any:
    """Returns a request as a message. Raises InvalidArgument."""
    try:
        return handler.request_deserializer(request)
    except google.protobuf.message.DecodeError:
        raise violations.refuse(
            "", "the request is not valid protobuf: text must be UTF-8, nested at most 20 levels deep"
        ) from None


def _check_size(request: bytes, context: Context, payload_field: str | None) -> None:
    if len(request) <= MAX_REQUEST_BYTES:
        return
    if _TRANSCODED not in dict(context.invocation_metadata() or ()):
        raise violations.refuse("", f"the request must be at most 1 MiB, not {len(request)} bytes")
    if payload_field is not None and len(request) > structs.MAX_BYTES + MAX_REQUEST_BYTES:
        # Only numbers are longer as protobuf than as JSON, and other fields have none. Reading them all would delay
        # other calls.
        raise violations.refuse(payload_field, payload.TOO_LARGE)
