"""Reading requests about schedules."""

import datetime
from typing import Any

import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from duetime.v1 import schedule_pb2, schedule_service_pb2
from duetime_core.model import errors, recurrence, schedule
from duetime_core.store.tasks import relocate
from duetime_server.rpc import tokens
from duetime_server.schedules import requests

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
NEW = schedule.NewSchedule("nightly", recurrence.Spec(cron="0 3 * * *"), schedule.Template("noop"))
PRESENT = schedule.Schedule(
    7, NEW.name, NEW.spec, NEW.template, NEW.overlap, NEW.catch_up, None, False, NOW, "2030a", 1, NOW, NOW, None
)  # fmt: skip


def create(**changes: Any) -> Any:
    template = schedule_pb2.TaskTemplate(name="noop")
    return schedule_service_pb2.CreateScheduleRequest(
        **{"name": "nightly", "cron": "0 3 * * *", "task": template, **changes}
    )


def moment(value: datetime.datetime) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=int(value.timestamp()))


def test_a_schedule_has_the_defaults_of_fields_that_it_does_not_set() -> None:
    assert requests.new_schedule(create(), NOW) == NEW


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": ""}, "name: is required"),
        ({"task": None}, "task: is required"),
        ({"task": schedule_pb2.TaskTemplate()}, "task.name: is required"),
        ({"interval": duration_pb2.Duration(seconds=60)}, "interval: must not be given together with cron"),
        ({"catch_up_window": duration_pb2.Duration()}, "catch_up_window: must be from 1 s"),
    ],
)
def test_an_invalid_schedule_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=problem):
        requests.new_schedule(create(**changes), NOW)


def test_an_interval_replaces_a_cron_expression() -> None:
    interval = duration_pb2.Duration(seconds=3600)
    request = schedule_service_pb2.UpdateScheduleRequest(name="hourly", interval=interval)
    assert requests.changes(request, PRESENT, NOW) == {"name": "hourly", "spec": recurrence.Spec(interval=HOUR)}


def test_a_preview_returns_ten_times_unless_it_asks_for_more() -> None:
    request = schedule_service_pb2.PreviewScheduleRequest(cron="0 3 * * *")
    assert requests.preview(request, NOW) == (NEW.spec, 10)
    request.count = 1_001
    with pytest.raises(errors.InvalidArgument, match="count: must be from 1 to 1000, not 1001"):
        requests.preview(request, NOW)


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (None, NOW, "start_time: is required"),
        (NOW, NOW - HOUR, "end_time: must not be before start_time"),
        (NOW - HOUR, NOW + HOUR, "end_time: must be in the past"),
    ],
)
def test_a_backfill_is_of_a_past_interval(
    start: datetime.datetime | None, end: datetime.datetime, problem: str
) -> None:
    request = schedule_service_pb2.BackfillScheduleRequest(end_time=moment(end))
    if start is not None:
        request.start_time.CopyFrom(moment(start))
    with pytest.raises(errors.InvalidArgument, match=problem):
        requests.backfilled(request, NOW)


def test_a_schedule_id_is_positive() -> None:
    assert requests.schedule_id(7) == 7
    with pytest.raises(errors.InvalidArgument, match=r"schedule_id: must be from 1 to .*, not 0"):
        requests.schedule_id(0)


def test_a_filter_has_what_the_request_sets() -> None:
    found = requests.schedule_filter(schedule_service_pb2.ListSchedulesRequest(queue="mail", paused=False))
    assert (found.name, found.queue, found.is_paused) == (None, "mail", False)


@pytest.mark.parametrize("position", [relocate.Position(7), relocate.Position(7, 3)])
def test_a_recomputation_continues_from_the_position_in_its_token(position: relocate.Position) -> None:
    request = schedule_service_pb2.RecomputeSchedulesRequest(page_token=tokens.encode("scope", position))
    assert requests.recompute_position(request, "scope") == position
    assert requests.recompute_position(schedule_service_pb2.RecomputeSchedulesRequest(), "scope") is None


@pytest.mark.parametrize("forged", [7, [], [None, 7], [7, "7"], [7, 7, 7], {"after": 7}])
def test_a_forged_token_of_a_recomputation_is_refused(forged: object) -> None:
    request = schedule_service_pb2.RecomputeSchedulesRequest(page_token=tokens.encode("scope", forged))
    with pytest.raises(errors.InvalidArgument, match="page_token"):
        requests.recompute_position(request, "scope")
