"""Admission: requests are read, and those of a costly kind are answered a few at a time."""

from __future__ import annotations  # grpc's RpcMethodHandler is generic for type checkers alone

from collections.abc import Callable, Coroutine
from typing import Any

import google.protobuf.message
import grpc.aio

from duetime_core.model import payload
from duetime_core.process import threads
from duetime_server.rpc import limiter, offload, structs, violations

MAX_REQUEST_BYTES = 1024 * 1024
"""As Envoy takes it: of gRPC callers, and of REST callers as JSON."""
MAX_TRANSCODED_BYTES = 6 * MAX_REQUEST_BYTES
"""What that much JSON can become: of `[1,1,1]`, each two characters are eleven bytes of protobuf."""
_TRANSCODED = "x-envoy-original-path"

LISTS = frozenset(
    {"ListTasks", "ListTaskLogs", "ListSchedules", "ListScheduleLogs", "ListQueues", "ListQueueLogs", "ListWorkers"}
)
"""What reads many rows at once: up to 1 MB of them."""
_READS = LISTS | {"ExplainTask"}
_BULK = frozenset({"CancelTasks", "RetryTasks", "DeleteTasks", "MoveTasks", "BackfillSchedule", "RecomputeSchedules"})
"""What changes many rows, and may take its 5 seconds."""

_PAYLOADS = {
    "CreateTask": "task_data",
    "UpdateTask": "task_data",
    "CreateSchedule": "task.task_data",
    "UpdateSchedule": "task.task_data",
}
"""Where requests with one JSON object have it."""

# Of the pool's ten connections these leave five, of which watches that are behind take three at most.
_MOST_READS = 3
_MOST_BULK = 2
_MOST_LARGE = 4
_MOST_PREVIEWS = 2
_LINE = 1_000
_PATIENCE_SECONDS = 5.0
_BULK_PATIENCE_SECONDS = 3.0
"""So short that a call that works for 5 seconds then is not late."""
_WAITING_BYTES = 64 * MAX_REQUEST_BYTES

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[bytes, Context], Coroutine[Any, Any, bytes]]


class Admission:
    """Lets requests in. Raises ServerBusy for those that have to wait for too long."""

    def __init__(self) -> None:
        self._large = limiter.Limiter(
            "large requests", most=_MOST_LARGE, room=_WAITING_BYTES, patience=_PATIENCE_SECONDS
        )
        reads = limiter.Limiter("lists and explanations", most=_MOST_READS, room=_LINE, patience=_PATIENCE_SECONDS)
        bulk = limiter.Limiter("changes of many tasks", most=_MOST_BULK, room=_LINE, patience=_BULK_PATIENCE_SECONDS)
        previews = limiter.Limiter("previews", most=_MOST_PREVIEWS, room=_LINE, patience=_PATIENCE_SECONDS)
        self._gates = {
            **dict.fromkeys(_READS, reads),
            **dict.fromkeys(_BULK, bulk),
            # Each may compute for as long as a rule may take, in the one thread for that.
            "PreviewSchedule": previews,
        }

    def answering(self, handler: Any, method: str) -> Answer:
        """Returns what answers an rpc's requests. Answers are written here: until they are, they take memory."""
        name = method.rpartition("/")[2]
        entrance, payload_field = self._gates.get(name), _PAYLOADS.get(name)

        async def answer(request: bytes, context: Context) -> bytes:
            offload.request_bytes.set(len(request))
            if len(request) <= offload.INLINE_BYTES:
                message = parse(handler, request)
            else:
                message = await threads.apart(parse, handler, request)
            written: bytes = handler.response_serializer(await handler.unary_unary(message, context))
            return written

        async def enter(request: bytes, context: Context) -> bytes:
            if entrance is None:
                return await answer(request, context)
            async with entrance.entered():
                return await answer(request, context)

        async def admit(request: bytes, context: Context) -> bytes:
            if len(request) <= offload.INLINE_BYTES:
                return await enter(request, context)
            _check_size(request, context, payload_field)
            async with self._large.entered(len(request)):
                return await enter(request, context)

        return admit


def parse(handler: Any, request: bytes) -> Any:
    """Returns a request's message. Raises InvalidArgument."""
    try:
        return handler.request_deserializer(request)
    except google.protobuf.message.DecodeError:
        raise violations.refuse(
            "", "the request is not valid protobuf: text must be UTF-8, nesting at most 20 levels"
        ) from None


def _check_size(request: bytes, context: Context, payload_field: str | None) -> None:
    if len(request) <= MAX_REQUEST_BYTES:
        return
    if _TRANSCODED not in dict(context.invocation_metadata() or ()):
        raise violations.refuse("", f"the request is {len(request)} bytes long; it must be at most 1 MiB")
    if payload_field is not None and len(request) > structs.MOST_BYTES + MAX_REQUEST_BYTES:
        # Only numbers are longer as protobuf than as JSON, and there are none elsewhere. To read them all would take
        # the time of others.
        raise violations.refuse(payload_field, payload.TOO_LARGE)
