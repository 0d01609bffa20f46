"""Requests are parsed and limited by kind and size."""

import asyncio
import types
from typing import Any

import pytest

from duetime.v1 import schedule_service_pb2, task_service_pb2
from duetime_core.model import errors
from duetime_server.rpc import admission

CONTEXT: Any = types.SimpleNamespace(invocation_metadata=lambda: ())


def handler(request: Any, respond: Any) -> Any:
    return types.SimpleNamespace(
        request_deserializer=request.FromString, unary_unary=respond, response_serializer=lambda text: text.encode()
    )


async def name_of(request: Any, _: Any) -> str:
    return str(request.name)


async def test_a_request_is_parsed_and_its_response_serialized() -> None:
    admitted = admission.Admission().admitting(handler(task_service_pb2.CreateTaskRequest, name_of), "/x/CreateTask")
    for size in (1, 100_000):
        request = task_service_pb2.CreateTaskRequest(name="n" * size)
        assert await admitted(request.SerializeToString(), CONTEXT) == b"n" * size


@pytest.mark.parametrize(
    ("request_bytes", "problem"), [(b"\xff", "not valid protobuf"), (bytes(1024 * 1024 + 1), "must be at most 1 MiB")]
)
async def test_a_malformed_or_oversized_request_is_refused(request_bytes: bytes, problem: str) -> None:
    admitted = admission.Admission().admitting(handler(task_service_pb2.CreateTaskRequest, name_of), "/x/CreateTask")
    with pytest.raises(errors.InvalidArgument, match=problem):
        await admitted(request_bytes, CONTEXT)


async def test_rpcs_of_a_costly_kind_wait_for_each_other_and_others_do_not() -> None:
    blocked = asyncio.Event()

    async def block(_request: Any, _context: Any) -> str:
        await blocked.wait()
        return ""

    shared = admission.Admission()
    previews = shared.admitting(handler(schedule_service_pb2.PreviewScheduleRequest, block), "/x/PreviewSchedule")
    running = [asyncio.create_task(previews(b"", CONTEXT)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(errors.ServerBusy, match="handles 2 previews at a time"):
        await asyncio.gather(*(previews(b"", CONTEXT) for _ in range(1_001)))
    creates = shared.admitting(handler(task_service_pb2.CreateTaskRequest, name_of), "/x/CreateTask")
    assert await creates(b"", CONTEXT) == b""
    blocked.set()
    await asyncio.gather(*running)
