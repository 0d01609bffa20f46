"""Each timestamp of each rpc, at both ends of the calendar, is accepted or refused with its field."""

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
import pytest_asyncio
from google.protobuf import descriptor, json_format, message_factory, timestamp_pb2

from duetime.v1 import queue_service_pb2, schedule_service_pb2, task_service_pb2
from tests.acceptance import refusals, requests
from tests.support import fields, stacks

YEAR_1, YEAR_10000 = -62_135_596_800, 253_402_300_800
TIMES = {
    "year 1": (YEAR_1, 0),
    "year 1 and a microsecond": (YEAR_1, 1_000),
    "year 1 and a day": (YEAR_1 + 86_400, 999_999_999),
    "before year 1": (YEAR_1 - 1, 999_999_999),
    "a microsecond before 1970": (-1, 999_999_000),
    "1970": (0, 0),
    "the last day": (YEAR_10000 - 86_400, 0),
    "the last second": (YEAR_10000 - 1, 0),
    "the last microsecond": (YEAR_10000 - 1, 999_999_000),
    "behind the last microsecond": (YEAR_10000 - 1, 999_999_999),
    "year 10000": (YEAR_10000, 0),
    "the end of 64 bits": (2**63 - 1, 0),
    "a second's worth of nanoseconds": (0, 10**9),
    "negative nanoseconds": (0, -1),
}
EXTREME = ("Pacific/Kiritimati", "Etc/GMT+12", "Africa/Monrovia", "America/New_York", "Asia/Tokyo")
LOCAL_TIMES = ("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "9999-12-31", "0001-01-01")
DATES = ("0001-01-01", "9999-12-31")


def stamped(message: descriptor.Descriptor, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the path of each timestamp of a message."""
    for field in message.fields:
        if field.message_type is timestamp_pb2.Timestamp.DESCRIPTOR:
            yield (*path, field.name)
        elif field.message_type is not None and field.message_type.full_name.startswith("duetime."):
            yield from stamped(field.message_type, (*path, field.name))


STAMPS = [(method, path) for method in fields.METHODS.values() for path in stamped(method.input_type)]


class Caller:
    """Sends requests that are valid except for their times, on a task and a schedule of its own."""

    def __init__(self, channel: grpc.aio.Channel, queue: str) -> None:
        self.channel = channel
        self.queue = queue
        self.task_id = 0
        self.schedule_id = 0

    async def call_lists(self) -> None:
        """Lists the tasks and schedules that were created."""
        listing = {
            "ListTasks": task_service_pb2.ListTasksRequest(queue=self.queue, page_size=1000),
            "ListSchedules": schedule_service_pb2.ListSchedulesRequest(page_size=1000),
            "ListQueues": queue_service_pb2.ListQueuesRequest(),
        }
        for method in fields.METHODS.values():
            if method.name in listing:
                assert await self.call(method, listing[method.name]) is not None

    async def call(self, method: descriptor.MethodDescriptor, request: Any) -> Any:
        """Returns the response, or None if the request was refused with its fields."""
        answer = message_factory.GetMessageClass(method.output_type)
        path = f"/{method.containing_service.full_name}/{method.name}"
        call = self.channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        try:
            return await call(request)
        except grpc.aio.AioRpcError:
            refused = await refusals.over_grpc(call(request))
            assert refused.code is grpc.StatusCode.INVALID_ARGUMENT, (path, request, refused.message)
            assert refused.fields
            return None

    def request(self, method: descriptor.MethodDescriptor, *, is_anchor: bool = False) -> Any:
        """Returns a valid request of the method, with all times that it requires."""
        task = {"name": "noop", "queue": self.queue}
        rule = {"interval": "86400s"} if is_anchor else {"cron": "30 9 1 1 *"}
        filtered = {"filter": {"queue": self.queue}}
        fields: dict[str, dict[str, Any]] = {
            "CreateTask": task,
            "BatchCreateTasks": {"requests": [task]},
            "UpdateTask": {"task_id": self.task_id},
            "ListTasks": {"queue": self.queue},
            "MoveTasks": {**filtered, "queue": self.queue},
            "CreateSchedule": {"name": "ends", "task": task, **rule},
            "UpdateSchedule": {"schedule_id": self.schedule_id, "name": "ends", **(rule if is_anchor else {})},
            "PreviewSchedule": rule,
            "BackfillSchedule": {
                "schedule_id": self.schedule_id,
                "start_time": "2020-01-01T00:00:00Z",
                "end_time": "2026-01-01T00:00:00Z",
            },
        }
        request = message_factory.GetMessageClass(method.input_type)()
        return json_format.ParseDict(fields.get(method.name, filtered), request)


def put(request: Any, path: tuple[str, ...], time: tuple[int, int]) -> None:
    """Sets a time at the path."""
    for name in path[:-1]:
        inner = getattr(request, name)
        request = inner[0] if isinstance(inner, Sequence) else inner
    getattr(request, path[-1]).CopyFrom(timestamp_pb2.Timestamp(seconds=time[0], nanos=time[1]))


@pytest_asyncio.fixture
async def caller(stack: stacks.Stack, queue: str) -> AsyncIterator[Caller]:
    """A caller with its own task, schedule and queue, whose tasks and schedules it deletes at the end."""
    async with grpc.aio.insecure_channel(stack.address) as channel:
        made = Caller(channel, queue)
        created = await made.call(fields.METHODS["CreateTask"], requests.as_message(queue=queue))
        made.task_id = created.task_id
        scheduled = await made.call(fields.METHODS["CreateSchedule"], made.request(fields.METHODS["CreateSchedule"]))
        made.schedule_id = scheduled.schedule_id
        yield made
        listed = await made.call(
            fields.METHODS["ListSchedules"], schedule_service_pb2.ListSchedulesRequest(page_size=1000)
        )
        for each in listed.schedules:
            if each.task.queue == queue:
                delete = schedule_service_pb2.DeleteScheduleRequest(schedule_id=each.schedule_id)
                await made.call(fields.METHODS["DeleteSchedule"], delete)


def test_the_contract_has_timestamps_to_test() -> None:
    assert {"CreateTask", "ListTasks", "MoveTasks", "UpdateSchedule", "BackfillSchedule"} <= {
        method.name for method, _ in STAMPS
    }


@pytest.mark.parametrize(("method", "path"), STAMPS, ids=[f"{method.name} {'.'.join(path)}" for method, path in STAMPS])
async def test_a_time_at_an_end_of_the_calendar_is_accepted_or_refused_with_the_field(
    caller: Caller, method: descriptor.MethodDescriptor, path: tuple[str, ...]
) -> None:
    zone = itertools.cycle(EXTREME)
    for time in TIMES.values():
        request = caller.request(method, is_anchor=path[-1] == "anchor")
        put(request, path, time)
        if "time_zone" in method.input_type.fields_by_name and "Task" not in method.name:
            request.time_zone = next(zone)
        await caller.call(method, request)
    await caller.call_lists()


@pytest.mark.parametrize("zone", EXTREME)
@pytest.mark.parametrize("local_time", LOCAL_TIMES)
async def test_a_local_time_at_an_end_of_the_calendar_is_accepted_or_refused_with_the_field(
    rest: httpx.AsyncClient, queue: str, zone: str, local_time: str
) -> None:
    body = requests.as_json(execution_time=None, queue=queue, local_time=local_time, time_zone=zone)
    response = await rest.post("/api/tasks", json=body)
    if response.status_code == 200:
        shown = (await rest.get(f"/api/tasks/{response.json()['task_id']}")).json()
        assert (shown["local_time"][:10], shown["time_zone"]) == (local_time[:10], zone)
    else:
        assert list(refusals.over_rest(response).fields) == ["local_time"]


@pytest.mark.parametrize("zone", EXTREME)
@pytest.mark.parametrize("dates", list(itertools.product(DATES, DATES)), ids=" ".join)
@pytest.mark.parametrize("behavior", ["skip", "move"])
async def test_a_blackout_to_an_end_of_the_calendar_is_open_ended(
    rest: httpx.AsyncClient, zone: str, dates: tuple[str, str], behavior: str
) -> None:
    blackout = {"first_date": dates[0], "last_date": dates[1], "behavior": behavior}
    rule = {"cron": "* * * * *", "time_zone": zone, "blackouts": [blackout], "count": 3}
    response = await rest.post("/api/schedules:preview", json=rule)
    if dates == ("0001-01-01", "9999-12-31"):
        assert refusals.over_rest(response).fields["blackouts"].startswith("leave nothing")
    elif dates == ("9999-12-31", "0001-01-01"):
        assert list(refusals.over_rest(response).fields) == ["blackouts[0].last_date"]
    else:
        assert len(response.json()["times"]) == 3


UNSET = {
    "cron": {"cron": "* * * * *"},
    "interval": {"interval": "60s"},
}


@pytest.mark.parametrize("rule", UNSET)
@pytest.mark.parametrize("zone", EXTREME)
async def test_the_zero_time_that_other_programs_send_means_no_start(
    rest: httpx.AsyncClient, rule: str, zone: str
) -> None:
    body = {**UNSET[rule], "time_zone": zone, "start_time": "0001-01-01T00:00:00Z", "end_time": "9999-12-31T23:59:59Z"}
    assert len((await rest.post("/api/schedules:preview", json=body)).json()["times"]) == 10
    late = {**UNSET[rule], "time_zone": zone, "start_time": "9999-12-31T00:00:00Z"}
    refused = refusals.over_rest(await rest.post("/api/schedules:preview", json=late))
    assert refused.fields["start_time"].startswith("is too late")
