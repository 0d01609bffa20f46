"""Every field of every rpc with odd values: each call returns a response or an error of its caller's.

The requests are generated from the descriptors, and go through Envoy to a server of their own.
"""

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import grpc
import grpc.aio
import httpx
import pytest_asyncio
from google.protobuf import duration_pb2, json_format
from google.rpc import error_details_pb2, status_pb2

from duetime.v1 import (
    audit_service_pb2_grpc,
    key_pb2,
    key_service_pb2,
    key_service_pb2_grpc,
    queue_service_pb2,
    queue_service_pb2_grpc,
    schedule_pb2,
    schedule_service_pb2,
    schedule_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
)
from tests.acceptance import edges, requests
from tests.support import fields, processes

LONG = 200_000
ENDS = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.ALREADY_EXISTS,
}


class Edge(NamedTuple):
    """An Envoy in front of a server, with something in it."""

    channel: grpc.aio.Channel
    rest: httpx.AsyncClient
    bases: dict[str, Any]
    server: processes.Process

    def stub(self, method: str) -> Any:
        """Returns what calls that rpc."""
        service = fields.METHODS[method].containing_service.name
        for module in (
            *(task_service_pb2_grpc, queue_service_pb2_grpc, schedule_service_pb2_grpc),
            *(key_service_pb2_grpc, audit_service_pb2_grpc),
        ):
            if (kind := getattr(module, f"{service}Stub", None)) is not None:
                return getattr(kind(self.channel), method)
        raise AssertionError(f"{service} has no stub")


@pytest_asyncio.fixture
async def edge(start: processes.Starter, tmp_path: pathlib.Path) -> AsyncIterator[Edge]:
    """An Envoy in front of a server with a task, a queue and a schedule."""
    server = await start.server()
    async with edges.running(tmp_path / "edge", server.address) as rest:
        address = f"{rest.base_url.host}:{rest.base_url.port}"
        async with grpc.aio.insecure_channel(address, [("grpc.max_metadata_size", 8192)]) as channel:
            template = schedule_pb2.TaskTemplate(name="noop", queue="odd")
            template.task_data.update({"a": 1})
            hourly: dict[str, Any] = {"interval": duration_pb2.Duration(seconds=3600), "task": template}
            tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            schedules: Any = schedule_service_pb2_grpc.ScheduleServiceStub(channel)
            queues: Any = queue_service_pb2_grpc.QueueServiceStub(channel)
            task_id = (await tasks.CreateTask(requests.as_message(queue="odd"))).task_id
            created = schedule_service_pb2.CreateScheduleRequest(name="odd", **hourly)
            schedule_id = (await schedules.CreateSchedule(created)).schedule_id
            await queues.UpdateQueue(queue_service_pb2.UpdateQueueRequest(name="odd", paused=False, allow_missing=True))
            keys: Any = key_service_pb2_grpc.KeyServiceStub(channel)
            role = key_pb2.ApiKey.Role.viewer
            made = await keys.CreateKey(key_service_pb2.CreateKeyRequest(name="odd", role=role))
            bases = {
                "name": "odd",
                "execution_time": fields.tomorrow(),
                "task_id": task_id,
                "schedule_id": schedule_id,
                "paused": True,
                "key_id": made.key.key_id,
                "role": role,
                **hourly,
            }
            yield Edge(channel, rest, bases, server)


async def ended(call: Any) -> tuple[grpc.StatusCode, status_pb2.Status, int]:
    """Returns how a call ended, what its error says, and how many bytes that took."""
    try:
        if isinstance(call, grpc.aio.UnaryStreamCall):
            async with asyncio.timeout(30):
                await call.read()
            call.cancel()
        else:
            await call
    except grpc.aio.AioRpcError as error:
        trailers = dict(error.trailing_metadata() or ())
        details = trailers.get("grpc-status-details-bin", b"")
        assert isinstance(details, bytes)
        size = len(details) * 4 // 3 + 3 * len((error.details() or "").encode())
        return error.code(), status_pb2.Status.FromString(details), size
    return grpc.StatusCode.OK, status_pb2.Status(), 0


def wrong_fields(status: status_pb2.Status) -> list[str]:
    """Returns the fields that an error names, and holds each to say what would be right."""
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(bad)
    assert all(each.description.strip() for each in bad.field_violations)
    return [each.field for each in bad.field_violations]


def check(case: fields.Case, code: grpc.StatusCode, status: status_pb2.Status, size: int) -> None:
    """Holds an end to be clear, short and about a field that there is."""
    assert code in ENDS, (case, code, status)
    assert size < 8_000, (case, size)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        named = wrong_fields(status)
        assert named, (case, status)
        known = fields.METHODS[case.method].input_type.fields_by_name
        for field in named:
            assert field.partition(".")[0].partition("[")[0] in known, (case, field)
    assert status.message.isprintable(), (case, status.message)


async def test_a_long_text_in_any_field_is_refused_briefly_and_delays_no_other_call(edge: Edge) -> None:
    watching = edge.stub("WatchTasks")(task_service_pb2.WatchTasksRequest(queue="watched"))
    assert (await watching.read()).WhichOneof("event") == "heartbeat"
    refused = set()
    for letter in ("A", "\U0001f600", "\x1b"):
        long = letter * (LONG // len(letter.encode()))
        cases = list(fields.cases(edge.bases, lambda field, text=long: fields.texts(field, text)))
        assert len(cases) > 100
        for case in cases:
            code, status, size = await ended(edge.stub(case.method)(case.request))
            check(case, code, status, size)
            if code is grpc.StatusCode.INVALID_ARGUMENT:
                assert any(field.startswith(case.field) for field in wrong_fields(status)), (case.path, status.message)
                refused.add((case.method, case.path))
        # A bystander, and the watch that began before.
        created = await edge.stub("CreateTask")(requests.as_message(queue="watched"))
        assert (await watching.read()).change.task_id == created.task_id
    watching.cancel()
    texts = {(case.method, case.path) for case in cases}
    may_be_long = {path for path in texts - refused if not path[1].endswith(("task_data", "concurrency_key"))}
    assert may_be_long == set()


async def test_a_long_text_in_any_field_is_refused_over_rest(edge: Edge) -> None:
    for letter in ("A", "\U0001f600"):
        long = letter * (LONG // len(letter.encode()))
        for case in fields.cases(edge.bases, lambda field, text=long: fields.texts(field, text)):
            rule = fields.METHODS[case.method].GetOptions().Extensions[_http()]
            path = rule.post or rule.patch or rule.put
            if not path or not rule.body:
                continue  # in a URL it is refused for its length
            mask = case.request.update_mask.paths[:] if case.field == "update_mask" else []
            if mask:  # which `json_format` would not write
                case.request.ClearField("update_mask")
            body = json_format.MessageToDict(case.request, preserving_proto_field_name=True)
            body |= {"update_mask": ",".join(mask)} if mask else {}
            for name in [name for name in body if f"{{{name}}}" in path]:
                path = path.replace(f"{{{name}}}", str(body.pop(name)))
            if len(path) > 1_000:
                continue
            method = "POST" if rule.post else "PATCH" if rule.patch else "PUT"
            response = await edge.rest.request(method, path, json=body)
            assert response.status_code in (200, 400, 404, 409), (case.method, case.path, response.text[:300])
            assert len(response.content) < 8_000 or response.status_code == 200


def _http() -> Any:
    from google.api import annotations_pb2

    return annotations_pb2.http


async def test_an_odd_value_in_any_field_is_an_answer_or_the_callers_mistake(edge: Edge) -> None:
    cases = list(fields.cases(edge.bases, fields.odd))
    assert len(cases) > 2_000
    slots = asyncio.Semaphore(4)

    async def call(case: fields.Case) -> None:
        async with slots:
            check(case, *await ended(edge.stub(case.method)(case.request)))

    await asyncio.gather(*map(call, cases))
    assert not [line for line in edge.server.log if "rpc failed" in line]
    # What was made can be read, also as JSON.
    for path, many in (("/api/tasks", "tasks"), ("/api/schedules", "schedules"), ("/api/queues", "queues")):
        token = ""
        while True:
            page = await edge.rest.get(path, params={"page_size": "1000", "page_token": token} if token else {})
            assert page.status_code == 200, page.text[:500]
            assert page.json()[many]
            token = page.json().get("next_page_token", "")
            if not token:
                break
